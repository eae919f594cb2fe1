"""Say what is in the queue, for an operator."""

import json
from datetime import UTC, datetime
from typing import Any

from headcirc.gateway.queue import DEAD_STATE, DELIVERED, MEASURED, WAITING, Queue

LISTED_IMAGES = 20


def to_facts(queue: Queue) -> dict[str, Any]:
    """Return the state of the queue as JSON has it."""
    counts = queue.count()
    measured = sum(counts.images.get(each, 0) for each in (MEASURED, DELIVERED))
    destinations = sorted({name for name, _ in counts.deliveries})
    return {
        "images": {
            "received": counts.received,
            "acknowledged": counts.acknowledged,
            "measured": measured,
            "delivered": counts.images.get(DELIVERED, 0),
            "dead": counts.images.get(DEAD_STATE, 0),
        },
        "waiting_to_be_measured": counts.images.get(WAITING, 0),
        "waiting_bytes": counts.live_bytes,
        "oldest_age_s": round(counts.oldest_age_s, 1),
        "destinations": {
            name: {
                state: counts.deliveries.get((name, state), 0)
                for state in (WAITING, DELIVERED, DEAD_STATE)
            }
            for name in destinations
        },
    }


def to_text(facts: dict[str, Any]) -> str:
    """Return the state of the queue for a person."""
    lines = [f"{state:14} {number}" for state, number in facts["images"].items()]
    lines.append(
        f"\n{facts['waiting_to_be_measured']} wait to be measured; "
        f"{facts['waiting_bytes'] / 1e6:.1f} MB are not delivered, the oldest for "
        f"{facts['oldest_age_s']:.0f} s"
    )
    for name, states in facts["destinations"].items():
        parts = ", ".join(f"{number} {state}" for state, number in states.items())
        lines.append(f"reports for {name}: {parts}")
    return "\n".join(lines)


def to_json(facts: dict[str, Any]) -> str:
    """Return the state of the queue as one JSON object."""
    return json.dumps(facts)


def list_images(queue: Queue, most: int = LISTED_IMAGES) -> list[str]:
    """Return a line for each of the latest images: number, times, sender, state and note.

    The instance's identifier is the last word, so that an operator can find the image.
    """
    return [
        f"{row['id']:>6}  {_to_time(row['received_s'])}  {row['calling_ae']:16}  "
        f"{row['state']:9}  {_to_steps(row)}  {row['note'] or '-'}  {row['sop_instance_uid']}"
        for row in queue.list_images(most)
    ]


def _to_steps(row: dict[str, Any]) -> str:
    """Return how many seconds after it was received an image reached each later state."""
    names = (("acknowledged_s", "ack"), ("measured_s", "mea"), ("delivered_s", "del"))
    return " ".join(
        f"{short}+{row[name] - row['received_s']:.1f}s" if row[name] else f"{short} -"
        for name, short in names
    )


def _to_time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
