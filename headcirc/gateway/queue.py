"""A durable, bounded queue of images and of the reports about them, in a folder.

An image goes through four states, each with its time: *received* (file and row are on the disk),
*acknowledged* (the sender was told so), *measured* (all reports are on the disk) and *delivered*
(every destination has its reports). What fails for good is *dead*. Every change is one transaction
that is on the disk when it returns (`synchronous=FULL`), and files are on the disk before the rows
that name them. So a process may be killed at any point: work that was not finished is done again,
with the same identifiers.
"""

import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headcirc.gateway.settings import QueueLimits, Retries

DATABASE = "queue.sqlite3"
INCOMING, IMAGES, REPORTS, DEAD = "incoming", "images", "reports", "dead"
"""Folders: what arrives now, what was received, what waits for delivery, what failed."""
BUSY_TIMEOUT_S = 30.0
MOST_CRASHES = 5
"""An image that is measured when the worker ends, so often, is not measured again."""
WAITING, MEASURED, DELIVERED, DEAD_STATE = "waiting", "measured", "delivered", "dead"
CRASHED = "worker-crashed"
DAY_S, HOUR_S = 86_400.0, 3600.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS images (
  id INTEGER PRIMARY KEY,
  sop_instance_uid TEXT NOT NULL UNIQUE,
  calling_ae TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting',
  received_s REAL NOT NULL,
  acknowledged_s REAL,
  measured_s REAL,
  delivered_s REAL,
  attempts INTEGER NOT NULL DEFAULT 0,
  crashes INTEGER NOT NULL DEFAULT 0,
  due_s REAL NOT NULL DEFAULT 0,
  note TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS images_by_state ON images (state, due_s);
CREATE TABLE IF NOT EXISTS deliveries (
  id INTEGER PRIMARY KEY,
  image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
  destination TEXT NOT NULL,
  kind TEXT NOT NULL,
  sop_instance_uid TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting',
  created_s REAL NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  due_s REAL NOT NULL DEFAULT 0,
  delivered_s REAL,
  note TEXT NOT NULL DEFAULT '',
  UNIQUE (image_id, destination, kind)
);
CREATE INDEX IF NOT EXISTS deliveries_by_state ON deliveries (state, destination, due_s);
"""


class QueueFullError(Exception):
    """No further image is taken now; the sender should try again later."""


@dataclass(frozen=True)
class Image:
    """An image that is to be measured."""

    id: int
    path: Path
    attempts: int


@dataclass(frozen=True)
class Report:
    """A report that is ready for delivery."""

    kind: str
    sop_instance_uid: str
    content: bytes


@dataclass(frozen=True)
class Delivery:
    """A report that is to be delivered to one destination."""

    id: int
    image_id: int
    path: Path
    attempts: int


@dataclass(frozen=True)
class Counts:
    """What is in the queue.

    Attributes
    ----------
    images : dict
        State to number of images.
    received, acknowledged : int
        Images that are remembered, and those whose sender was told.
    live_bytes : int
        Size of the images that are not delivered yet.
    oldest_age_s : float
        Age of the oldest of them; 0 without any.
    deliveries : dict
        Destination and state to number of reports.
    """

    images: dict[str, int]
    received: int
    acknowledged: int
    live_bytes: int
    oldest_age_s: float
    deliveries: dict[tuple[str, str], int]


class Queue:
    """The queue in a folder; any number of threads and processes may open it.

    Parameters
    ----------
    limits : QueueLimits
    retries : Retries
    """

    def __init__(self, limits: QueueLimits, retries: Retries) -> None:
        self._limits, self._retries = limits, retries
        self._local = threading.local()
        self.folder = limits.folder
        for name in (INCOMING, IMAGES, REPORTS, DEAD):
            (self.folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database.executescript(SCHEMA)

    @property
    def _database(self) -> sqlite3.Connection:
        """Return this thread's connection."""
        found: sqlite3.Connection | None = getattr(self._local, "database", None)
        if found is None:
            found = sqlite3.connect(
                self.folder / DATABASE, timeout=BUSY_TIMEOUT_S, isolation_level=None
            )
            found.row_factory = sqlite3.Row
            found.execute("PRAGMA journal_mode=WAL")
            found.execute("PRAGMA synchronous=FULL")
            found.execute("PRAGMA foreign_keys=ON")
            self._local.database = found
        return found

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """Give a transaction that is on the disk when the block ends, or did not happen."""
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")

    def close(self) -> None:
        """Close this thread's connection."""
        found: sqlite3.Connection | None = getattr(self._local, "database", None)
        if found is not None:
            found.close()
            self._local.database = None

    # --- receiving --------------------------------------------------------------------------------

    def require_room(self, coming_bytes: int = 0) -> None:
        """Refuse a further image where the queue or the disk is full.

        Raises
        ------
        QueueFullError
        """
        free = shutil.disk_usage(self.folder).free
        if free - coming_bytes < self._limits.least_free_bytes:
            raise QueueFullError("disk-full")
        images, size = self._database.execute(
            "SELECT count(*), coalesce(sum(bytes), 0) FROM images WHERE state IN (?, ?)",
            (WAITING, MEASURED),
        ).fetchone()
        if images >= self._limits.most_images or size + coming_bytes > self._limits.most_bytes:
            raise QueueFullError("queue-full")

    def take_in(self, sop_instance_uid: str, calling_ae: str, arrived: Path) -> int | None:
        """Keep an image for good; when this returns, it survives a crash.

        Parameters
        ----------
        sop_instance_uid : str
            Valid; it names the file.
        calling_ae : str
        arrived : Path
            The image, in `INCOMING`; it is moved.

        Returns
        -------
        int or None
            The image's number; None if the image is known already, and nothing was done. One that
            is dead is taken again.

        Raises
        ------
        QueueFullError, OSError
        """
        size = arrived.stat().st_size
        known = self._find_live(sop_instance_uid)
        if known:
            return None
        self.require_room()
        place = self.to_image_path(sop_instance_uid)
        write_through(arrived)
        arrived.replace(place)
        write_through(place.parent)
        with self._change() as database:
            database.execute(
                "DELETE FROM images WHERE sop_instance_uid = ? AND state = ?",
                (sop_instance_uid, DEAD_STATE),
            )
            row = database.execute(
                "INSERT INTO images (sop_instance_uid, calling_ae, bytes, received_s) "
                "VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
                (sop_instance_uid, calling_ae, size, time.time()),
            ).fetchone()
        return None if row is None else int(row["id"])

    def _find_live(self, sop_instance_uid: str) -> bool:
        row = self._database.execute(
            "SELECT 1 FROM images WHERE sop_instance_uid = ? AND state != ?",
            (sop_instance_uid, DEAD_STATE),
        ).fetchone()
        return row is not None

    def acknowledge(self, image_id: int) -> None:
        """Note that the sender was told that the image is kept."""
        with self._change() as database:
            database.execute(
                "UPDATE images SET acknowledged_s = ? WHERE id = ?", (time.time(), image_id)
            )

    def to_image_path(self, sop_instance_uid: str) -> Path:
        """Return where an image is kept."""
        return self.folder / IMAGES / f"{sop_instance_uid}.dcm"

    # --- measuring --------------------------------------------------------------------------------

    def next_image(self) -> Image | None:
        """Return the image that waits longest and is due, or None.

        A crash while it is measured is counted; an image that ends the worker again and again is
        dead.
        """
        while True:
            with self._change() as database:
                row = database.execute(
                    "SELECT * FROM images WHERE state = ? AND due_s <= ? ORDER BY id LIMIT 1",
                    (WAITING, time.time()),
                ).fetchone()
                if row is None:
                    return None
                image = Image(
                    row["id"], self.to_image_path(row["sop_instance_uid"]), row["attempts"]
                )
                if row["crashes"] < MOST_CRASHES:
                    database.execute(
                        "UPDATE images SET crashes = crashes + 1 WHERE id = ?", (image.id,)
                    )
                    return image
            self.bury_image(image, CRASHED)

    def finish_image(self, image: Image, reports: Sequence[tuple[str, Report]], note: str) -> None:
        """Keep the reports about an image, and let their delivery begin.

        Parameters
        ----------
        image : Image
        reports : sequence of (str, Report)
            Destination and report.
        note : str
            Codes of what could not be reported, such as `no-head-found`.
        """
        now_s = time.time()
        for report in {each.sop_instance_uid: each for _, each in reports}.values():
            place = self.to_report_path(report.sop_instance_uid)
            place.write_bytes(report.content)
            write_through(place)
        write_through(self.folder / REPORTS)
        with self._change() as database:
            database.executemany(
                "INSERT OR IGNORE INTO deliveries "
                "(image_id, destination, kind, sop_instance_uid, created_s) VALUES (?, ?, ?, ?, ?)",
                [
                    (image.id, destination, report.kind, report.sop_instance_uid, now_s)
                    for destination, report in reports
                ],
            )
            database.execute(
                "UPDATE images SET state = ?, measured_s = ?, crashes = 0, note = ? WHERE id = ?",
                (MEASURED, now_s, note, image.id),
            )
        self._close_image(image.id)

    def postpone_image(self, image: Image, note: str, *, is_crash: bool = False) -> None:
        """Measure an image later, after a failure that may pass; give up after a time.

        One that counts as a crash may happen `MOST_CRASHES` times.
        """
        with self._change() as database:
            row = database.execute(
                "UPDATE images SET attempts = attempts + 1, crashes = crashes * ?, due_s = ?, "
                "note = ? WHERE id = ? RETURNING received_s",
                (
                    int(is_crash),
                    time.time() + self._retries.to_wait_s(image.attempts + 1),
                    note,
                    image.id,
                ),
            ).fetchone()
        if row is not None and self._is_over(row["received_s"]):
            self.bury_image(image, note)

    def bury_image(self, image: Image, note: str) -> None:
        """Move an image that cannot be measured to the dead letters."""
        with self._change() as database:
            database.execute(
                "UPDATE images SET state = ?, crashes = 0, note = ? WHERE id = ?",
                (DEAD_STATE, note, image.id),
            )
        self._bury(image.path, note)

    def _is_over(self, since_s: float) -> bool:
        return time.time() - since_s > self._retries.give_up_hours * HOUR_S

    def _bury(self, path: Path, note: str) -> None:
        letter = self.folder / DEAD / path.name
        if path.exists():
            path.replace(letter)
        self._explain(letter, note)

    def _explain(self, letter: Path, note: str) -> None:
        """Write beside a dead letter why it is one."""
        facts = {"reason": note, "since_s": round(time.time())}
        letter.with_suffix(".json").write_text(json.dumps(facts) + "\n")

    # --- delivering -------------------------------------------------------------------------------

    def to_report_path(self, sop_instance_uid: str) -> Path:
        """Return where a report is kept until it is delivered."""
        return self.folder / REPORTS / f"{sop_instance_uid}.dcm"

    def next_deliveries(self, destination: str, most: int) -> list[Delivery]:
        """Return reports for a destination that are due, oldest first."""
        rows = self._database.execute(
            "SELECT * FROM deliveries WHERE state = ? AND destination = ? AND due_s <= ? "
            "ORDER BY id LIMIT ?",
            (WAITING, destination, time.time(), most),
        ).fetchall()
        return [
            Delivery(
                row["id"], row["image_id"], self.to_report_path(row["sop_instance_uid"]),
                row["attempts"],
            )
            for row in rows
        ]  # fmt: skip

    def finish_delivery(self, delivery: Delivery) -> None:
        """Note that a destination has a report; the last one closes the image."""
        with self._change() as database:
            database.execute(
                "UPDATE deliveries SET state = ?, delivered_s = ?, note = '' WHERE id = ?",
                (DELIVERED, time.time(), delivery.id),
            )
        self._close_image(delivery.image_id)

    def postpone_delivery(self, delivery: Delivery, note: str) -> None:
        """Deliver a report later; after a time, keep a copy in the dead letters instead."""
        with self._change() as database:
            row = database.execute(
                "UPDATE deliveries SET attempts = attempts + 1, due_s = ?, note = ? "
                "WHERE id = ? RETURNING created_s",
                (time.time() + self._retries.to_wait_s(delivery.attempts + 1), note, delivery.id),
            ).fetchone()
        if row is None or not self._is_over(row["created_s"]):
            return
        letter = self.folder / DEAD / delivery.path.name
        shutil.copyfile(delivery.path, letter)
        write_through(letter)
        self._explain(letter, note)
        with self._change() as database:
            database.execute(
                "UPDATE deliveries SET state = ? WHERE id = ?", (DEAD_STATE, delivery.id)
            )
        self._close_image(delivery.image_id)

    def _close_image(self, image_id: int) -> None:
        """End an image whose reports are all delivered or dead, and delete its files."""
        with self._change() as database:
            row = database.execute(
                "UPDATE images SET state = CASE WHEN EXISTS (SELECT 1 FROM deliveries "
                "WHERE image_id = images.id AND state = :dead) THEN :dead ELSE :delivered END, "
                "delivered_s = :now WHERE id = :id AND state = :measured AND NOT EXISTS "
                "(SELECT 1 FROM deliveries WHERE image_id = images.id AND state = :waiting) "
                "RETURNING sop_instance_uid",
                {
                    "dead": DEAD_STATE, "delivered": DELIVERED, "measured": MEASURED,
                    "waiting": WAITING, "now": time.time(), "id": image_id,
                },
            ).fetchone()  # fmt: skip
        if row is not None:
            self._delete_files(image_id, row["sop_instance_uid"])

    def _delete_files(self, image_id: int, sop_instance_uid: str) -> None:
        reports = self._database.execute(
            "SELECT DISTINCT sop_instance_uid FROM deliveries WHERE image_id = ?", (image_id,)
        ).fetchall()
        for row in reports:
            self.to_report_path(row["sop_instance_uid"]).unlink(missing_ok=True)
        self.to_image_path(sop_instance_uid).unlink(missing_ok=True)

    # --- keeping house ----------------------------------------------------------------------------

    def next_image_due_s(self) -> float | None:
        """Return how long until an image is to be measured; None where none waits."""
        return self._to_wait_s("SELECT min(due_s) FROM images WHERE state = 'waiting'")

    def next_delivery_due_s(self, destination: str) -> float | None:
        """Return how long until a report is to be delivered; None where none waits."""
        return self._to_wait_s(
            "SELECT min(due_s) FROM deliveries WHERE state = 'waiting' AND destination = ?",
            destination,
        )

    def _to_wait_s(self, query: str, *values: object) -> float | None:
        (row,) = self._select(query, *values)
        return None if row[0] is None else max(0.0, float(row[0]) - time.time())

    def forget_old(self) -> None:
        """Forget images that were delivered long ago."""
        with self._change() as database:
            database.execute(
                "DELETE FROM images WHERE state = ? AND delivered_s < ?",
                (DELIVERED, time.time() - self._limits.keep_days * DAY_S),
            )

    def clean(self) -> None:
        """Finish what a crash left behind, at a start; nothing else may run meanwhile."""
        for path in (self.folder / INCOMING).iterdir():
            path.unlink()
        for row in self._select("SELECT * FROM images WHERE state = 'dead' AND measured_s IS NULL"):
            path = self.to_image_path(row["sop_instance_uid"])
            if path.exists():
                self._bury(path, row["note"])
        for row in self._select("SELECT id FROM images WHERE state = 'measured'"):
            self._close_image(row["id"])
        live = self._select("SELECT * FROM images WHERE state IN ('waiting', 'measured')")
        reports = self._select(
            "SELECT deliveries.sop_instance_uid FROM deliveries "
            "JOIN images ON images.id = image_id WHERE images.state = 'measured'"
        )
        for folder, rows in ((IMAGES, live), (REPORTS, reports)):
            kept = {row["sop_instance_uid"] for row in rows}
            for path in (self.folder / folder).iterdir():
                if path.stem not in kept:
                    path.unlink()

    def _select(self, query: str, *values: object) -> list[sqlite3.Row]:
        return self._database.execute(query, values).fetchall()

    def revive(self) -> int:
        """Try everything again that is dead; return how much."""
        now_s = time.time()
        images = self._select("SELECT * FROM images WHERE state = 'dead' AND measured_s IS NULL")
        for row in images:
            self._take_back(self.to_image_path(row["sop_instance_uid"]))
            with self._change() as database:
                database.execute(
                    "UPDATE images SET state = 'waiting', attempts = 0, crashes = 0, due_s = 0, "
                    "received_s = ? WHERE id = ?",
                    (now_s, row["id"]),
                )
        deliveries = self._select("SELECT * FROM deliveries WHERE state = 'dead'")
        for row in deliveries:
            self._take_back(self.to_report_path(row["sop_instance_uid"]))
            with self._change() as database:
                database.execute(
                    "UPDATE deliveries SET state = 'waiting', attempts = 0, due_s = 0, "
                    "created_s = ? WHERE id = ?",
                    (now_s, row["id"]),
                )
                database.execute(
                    "UPDATE images SET state = 'measured' WHERE id = ?", (row["image_id"],)
                )
        return len(images) + len(deliveries)

    def _take_back(self, place: Path) -> None:
        """Move a dead letter back to its place, if it is not there already."""
        letter = self.folder / DEAD / place.name
        if letter.exists():
            letter.replace(place)
        letter.with_suffix(".json").unlink(missing_ok=True)

    # --- looking ----------------------------------------------------------------------------------

    def count(self) -> Counts:
        """Return how many images and deliveries are in each state."""
        images = self._select(
            "SELECT state, count(*) AS images, sum(bytes) AS size, min(received_s) AS oldest_s, "
            "sum(acknowledged_s IS NOT NULL) AS acknowledged FROM images GROUP BY state"
        )
        by_state = {row["state"]: row for row in images}
        live = [by_state[state] for state in (WAITING, MEASURED) if state in by_state]
        deliveries = self._select(
            "SELECT destination, state, count(*) AS reports FROM deliveries "
            "GROUP BY destination, state"
        )
        return Counts(
            images={state: row["images"] for state, row in by_state.items()},
            received=sum(row["images"] for row in images),
            acknowledged=sum(row["acknowledged"] for row in images),
            live_bytes=sum(row["size"] for row in live),
            oldest_age_s=max((time.time() - row["oldest_s"] for row in live), default=0.0),
            deliveries={(row["destination"], row["state"]): row["reports"] for row in deliveries},
        )

    def list_images(self, most: int) -> list[dict[str, Any]]:
        """Return the latest images with their times and notes, newest first."""
        rows = self._select("SELECT * FROM images ORDER BY id DESC LIMIT ?", most)
        return [dict(row) for row in rows]


def write_through(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
