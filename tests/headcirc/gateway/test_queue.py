import json
import sqlite3
from dataclasses import replace

import pytest

from headcirc.gateway import queue as queue_module
from headcirc.gateway.queue import (
    CRASHED,
    DEAD,
    IMAGES,
    INCOMING,
    MOST_CRASHES,
    REPORTS,
    Queue,
    QueueFullError,
    Report,
)
from headcirc.gateway.settings import QueueLimits, Retries

UID = "1.2.3"
CONTENT = b"an image"
REPORT = Report("tid1500", "1.2.3.9", b"a report")


@pytest.fixture
def clock(monkeypatch):
    """Set the time by hand."""

    class Clock:
        now_s = 1_000_000.0

        def time(self):
            return self.now_s

    clock = Clock()
    monkeypatch.setattr(queue_module, "time", clock)
    return clock


@pytest.fixture
def limits(tmp_path):
    return QueueLimits(folder=tmp_path, least_free_bytes=0)


@pytest.fixture
def make_queue(limits):
    """Return a function that opens the queue again, as after a restart."""
    made = []

    def make(**changes):
        made.append(Queue(replace(limits, **changes), Retries(first_s=10, longest_s=100)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def queue(make_queue, clock):
    return make_queue()


def take(queue, uid=UID, content=CONTENT):
    """Take an image as the listener does."""
    arrived = queue.folder / INCOMING / "tmp1"
    arrived.write_bytes(content)
    return queue.take_in(uid, "SCANNER", arrived)


def measure(queue, *destinations, note=""):
    image = queue.next_image()
    queue.finish_image(image, [(each, REPORT) for each in destinations], note)


def deliver(queue, destination):
    for each in queue.next_deliveries(destination, 10):
        queue.finish_delivery(each)


def list_files(queue):
    return {
        str(path.relative_to(queue.folder))
        for name in (INCOMING, IMAGES, REPORTS, DEAD)
        for path in (queue.folder / name).iterdir()
    }


def test_image_goes_through_all_states(queue):
    """Received, acknowledged, measured, delivered; then its files are gone."""
    image_id = take(queue)
    assert queue.count().images == {"waiting": 1}
    assert (queue.count().received, queue.count().acknowledged) == (1, 0)
    queue.acknowledge(image_id)
    assert queue.count().acknowledged == 1
    measure(queue, "archive")
    assert queue.count().images == {"measured": 1}
    assert list_files(queue) == {f"images/{UID}.dcm", "reports/1.2.3.9.dcm"}
    deliver(queue, "archive")
    assert queue.count().images == {"delivered": 1}
    assert list_files(queue) == set()


def test_image_survives_a_restart(queue, make_queue):
    take(queue)
    image = make_queue().next_image()
    assert image.path.read_bytes() == CONTENT


def test_every_commit_is_on_the_disk_when_it_returns(queue):
    """The pragma belongs to a connection, so it is asked of the one that is used."""
    take(queue)
    assert queue._database.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_repeat_is_known_and_changes_nothing(queue):
    """A sender that lost our answer sends again; also after the delivery."""
    assert take(queue) is not None
    assert take(queue) is None
    measure(queue, "archive")
    assert take(queue) is None
    deliver(queue, "archive")
    assert take(queue) is None
    assert queue.count().images == {"delivered": 1}


def test_image_is_delivered_when_every_destination_has_it(queue):
    take(queue)
    measure(queue, "archive", "research")
    deliver(queue, "archive")
    assert queue.count().images == {"measured": 1}
    assert (queue.folder / REPORTS / "1.2.3.9.dcm").exists()
    deliver(queue, "research")
    assert queue.count().images == {"delivered": 1}


def test_image_without_a_report_is_finished_at_once(queue):
    """Such as one without a head, for a destination that takes no captures."""
    take(queue)
    measure(queue, note="no-head-found")
    assert queue.count().images == {"delivered": 1}
    assert queue.list_images(1)[0]["note"] == "no-head-found"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"most_images": 1}, "queue-full"),
        ({"most_bytes": len(CONTENT)}, "queue-full"),
        ({"least_free_bytes": 10**18}, "disk-full"),
    ],
)
def test_full_queue_takes_no_more(queue, make_queue, changes, reason):
    """The first image is taken where the limit allows one; the second is refused."""
    if reason == "queue-full":
        take(queue)
    bounded = make_queue(**changes)
    with pytest.raises(QueueFullError, match=reason):
        bounded.require_room(1)
    with pytest.raises(QueueFullError):
        take(bounded, "4.5.6") if "most_bytes" not in changes else bounded.require_room(1)


def test_delivered_images_do_not_fill_the_queue(make_queue, clock):
    queue = make_queue(most_images=1)
    for number in range(3):
        assert take(queue, f"1.2.{number}") is not None
        measure(queue)


def test_failure_waits_twice_as_long_each_time(queue, clock):
    take(queue)
    for wait_s in (10, 20, 40, 80, 100, 100):
        queue.postpone_image(queue.next_image(), "service-unreachable")
        assert queue.next_image() is None
        assert queue.next_image_due_s() == pytest.approx(wait_s)
        clock.now_s += wait_s
    assert queue.next_image() is not None


def test_failure_of_a_week_goes_to_the_dead_letters(queue, clock):
    take(queue)
    clock.now_s += 169 * 3600
    queue.postpone_image(queue.next_image(), "service-unreachable")
    assert queue.count().images == {"dead": 1}
    assert (queue.folder / DEAD / f"{UID}.dcm").read_bytes() == CONTENT
    facts = json.loads((queue.folder / DEAD / f"{UID}.json").read_text())
    assert facts["reason"] == "service-unreachable"


def test_image_that_ends_the_worker_is_dead_after_some_times(queue, make_queue):
    """Each `next_image` without an end is a worker that died."""
    take(queue)
    for _ in range(MOST_CRASHES):
        assert make_queue().next_image() is not None
    assert make_queue().next_image() is None
    assert queue.list_images(1)[0]["note"] == CRASHED
    assert queue.count().images == {"dead": 1}


def test_other_failures_do_not_count_as_crashes(queue, clock):
    take(queue)
    for _ in range(2 * MOST_CRASHES):
        queue.postpone_image(queue.next_image(), "overloaded")
        clock.now_s += 1000
    assert queue.next_image() is not None


def test_crash_that_python_saw_counts_too(queue, clock):
    take(queue)
    for _ in range(MOST_CRASHES):
        queue.postpone_image(queue.next_image(), "internal-error", is_crash=True)
        clock.now_s += 1000
    assert queue.next_image() is None


def test_delivery_waits_and_goes_to_the_dead_letters(queue, clock):
    """The other destination still gets its report."""
    take(queue)
    measure(queue, "archive", "research")
    (delivery,) = queue.next_deliveries("archive", 10)
    queue.postpone_delivery(delivery, "unreachable")
    assert not queue.next_deliveries("archive", 10)
    assert queue.next_delivery_due_s("archive") == pytest.approx(10)
    clock.now_s += 169 * 3600
    queue.postpone_delivery(queue.next_deliveries("archive", 10)[0], "unreachable")
    assert queue.count().deliveries == {("archive", "dead"): 1, ("research", "waiting"): 1}
    deliver(queue, "research")
    assert queue.count().images == {"dead": 1}
    assert list_files(queue) == {"dead/1.2.3.9.dcm", "dead/1.2.3.9.json"}


def test_dead_can_be_tried_again(queue, clock):
    take(queue)
    queue.bury_image(queue.next_image(), "unreadable-image")
    assert queue.revive() == 1
    assert queue.next_image().path.read_bytes() == CONTENT
    assert list_files(queue) == {f"images/{UID}.dcm"}


def test_dead_delivery_can_be_tried_again(queue, clock):
    take(queue)
    measure(queue, "archive")
    clock.now_s += 169 * 3600
    queue.postpone_delivery(queue.next_deliveries("archive", 10)[0], "rejected")
    assert queue.revive() == 1
    (delivery,) = queue.next_deliveries("archive", 10)
    assert delivery.path.read_bytes() == REPORT.content
    queue.finish_delivery(delivery)
    assert queue.count().images == {"delivered": 1}
    assert list_files(queue) == set()


def test_dead_image_that_is_sent_again_is_taken(queue):
    take(queue)
    queue.bury_image(queue.next_image(), "unreadable-image")
    assert take(queue, content=b"complete now") is not None
    assert queue.next_image().path.read_bytes() == b"complete now"


def test_old_images_are_forgotten(queue, clock):
    """Within the time a repeat is recognised."""
    take(queue)
    measure(queue)
    queue.forget_old()
    assert queue.count().received == 1
    clock.now_s += 31 * 86_400
    queue.forget_old()
    assert queue.count().received == 0


def test_dead_letters_are_never_forgotten(queue, clock):
    take(queue)
    queue.bury_image(queue.next_image(), "unreadable-image")
    clock.now_s += 1000 * 86_400
    queue.forget_old()
    queue.clean()
    assert list_files(queue) == {f"dead/{UID}.dcm", f"dead/{UID}.json"}
    assert queue.count().images == {"dead": 1}


# --- what a crash leaves behind ---------------------------------------------------------------


def crash_at(monkeypatch, queue, statement):
    """Make the next transaction with a statement fail before it is written."""

    class Broken(sqlite3.Connection):
        def execute(self, sql, *values):
            if statement in sql:
                raise KeyboardInterrupt
            return super().execute(sql, *values)

    broken = sqlite3.connect(queue.folder / queue_module.DATABASE, factory=Broken)
    broken.isolation_level, broken.row_factory = None, sqlite3.Row
    queue._local.database = broken


def test_file_that_was_not_recorded_is_deleted(queue, make_queue, monkeypatch):
    """Nobody was told that it is kept; its sender sends it again."""
    crash_at(monkeypatch, queue, "INSERT INTO images")
    with pytest.raises(KeyboardInterrupt):
        take(queue)
    restarted = make_queue()
    restarted.clean()
    assert list_files(restarted) == set()
    assert take(restarted) is not None


def test_report_that_was_not_recorded_is_made_again(queue, make_queue, monkeypatch):
    take(queue)
    image = queue.next_image()
    crash_at(monkeypatch, queue, "UPDATE images SET state")
    with pytest.raises(KeyboardInterrupt):
        queue.finish_image(image, [("archive", REPORT)], "")
    restarted = make_queue()
    restarted.clean()
    assert list_files(restarted) == {f"images/{UID}.dcm"}
    measure(restarted, "archive")
    assert len(restarted.next_deliveries("archive", 10)) == 1


def test_delivery_that_was_not_recorded_is_repeated(queue, make_queue, monkeypatch):
    """The destination gets the same instance again, with the same bytes."""
    take(queue)
    measure(queue, "archive")
    (delivery,) = queue.next_deliveries("archive", 10)
    crash_at(monkeypatch, queue, "UPDATE deliveries")
    with pytest.raises(KeyboardInterrupt):
        queue.finish_delivery(delivery)
    restarted = make_queue()
    restarted.clean()
    (again,) = restarted.next_deliveries("archive", 10)
    assert again.path.read_bytes() == REPORT.content


def test_image_whose_last_delivery_was_recorded_is_closed_at_the_next_start(queue, make_queue):
    take(queue)
    measure(queue, "archive")
    (delivery,) = queue.next_deliveries("archive", 10)
    queue._close_image = lambda _: None  # as if the process ended just before
    queue.finish_delivery(delivery)
    restarted = make_queue()
    restarted.clean()
    assert restarted.count().images == {"delivered": 1}
    assert list_files(restarted) == set()


def test_dead_image_that_was_not_moved_is_moved_at_the_next_start(queue, make_queue):
    take(queue)
    queue._bury = lambda *_: None
    queue.bury_image(queue.next_image(), "unreadable-image")
    restarted = make_queue()
    restarted.clean()
    assert (restarted.folder / DEAD / f"{UID}.dcm").read_bytes() == CONTENT


def test_half_a_file_that_arrived_is_deleted(queue, make_queue):
    (queue.folder / INCOMING / "half").write_bytes(b"h")
    restarted = make_queue()
    restarted.clean()
    assert list_files(restarted) == set()


def test_folders_are_the_owner_s_alone(queue):
    """They hold patients' images."""
    for name in (INCOMING, IMAGES, REPORTS, DEAD):
        assert (queue.folder / name).stat().st_mode & 0o077 == 0
