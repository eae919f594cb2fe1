import csv
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing

import pytest

from headcirc.batch.measuring_process import MeasuringProcess
from headcirc.cli.commands import main
from headcirc.errors import BackendUnavailableError, InputError, ModelArtifactError
from tests.support.crashing import (
    CIRCUMFERENCE_MM,
    CRASH_DRAWING,
    CRASH_LATER,
    MODEL,
    load_crashing,
    load_fatal,
    load_unusable,
)

DEADLY = [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGKILL]


@pytest.fixture
def measure():
    """Return what measures in a process, some files excepted."""
    with closing(MeasuringProcess(load_crashing)) as process:
        yield process
    assert multiprocessing.active_children() == []


def test_files_are_measured_elsewhere(measure):
    """Rows and overlays come back, and the identity of the model."""
    assert measure.model == MODEL
    for content in (b"a", b"b" * 10_000_000):
        measured = measure(content, None)
        assert measured.row.head_circumference_mm == CIRCUMFERENCE_MM
        assert measured.draw_overlay() == b"picture of " + content


@pytest.mark.parametrize("number", DEADLY)
def test_file_that_ends_the_process_gets_a_reason(measure, number):
    """It says by what; the files after it are measured."""
    with pytest.raises(InputError, match=f"^decoder-crashed: .* by {number.name}.* as PNG"):
        measure(b"crash by %d" % number, None)
    assert measure(b"a", None).row.head_circumference_mm == CIRCUMFERENCE_MM


@pytest.mark.parametrize(
    ("content", "reason"), [(b"exit", "with status 3"), (b"raise", "MemoryError")]
)
def test_process_that_ends_otherwise_costs_one_file(measure, content, reason):
    """As one that calls `exit`, or has no memory left."""
    with pytest.raises(InputError, match=f"^decoder-crashed: .*{reason}"):
        measure(content, None)
    assert measure(b"a", None).row.head_circumference_mm == CIRCUMFERENCE_MM


def test_refusal_comes_back(measure):
    """In its own words, without another process."""
    with pytest.raises(InputError, match=r"^The file is empty\.$"):
        measure(b"refuse", None)


def test_file_does_not_pay_for_an_earlier_one(measure):
    """What damaged memory crashes later, at another file: that one is measured in a new process."""
    measure(CRASH_LATER, None)
    assert measure(b"innocent", None).row.head_circumference_mm == CIRCUMFERENCE_MM


def test_crash_while_drawing_costs_the_picture(measure):
    """The number is there already; the next file has both."""
    measured = measure(CRASH_DRAWING, None)
    with pytest.raises(InputError, match=r"decoder-crashed: .* by SIGABRT"):
        measured.draw_overlay()
    assert measure(b"a", None).draw_overlay() == b"picture of a"


def test_model_that_cannot_be_loaded_is_reported():
    """With the same message as in this process; a crash while loading is not a file's fault."""
    with pytest.raises(ModelArtifactError, match="damaged"):
        MeasuringProcess(load_unusable)
    with pytest.raises(BackendUnavailableError, match=r"model was loaded, .* SIGSEGV; try "):
        MeasuringProcess(load_fatal)


@pytest.fixture
def scans(tmp_path):
    """Return a folder in which three of six files end the process that measures them."""
    folder = tmp_path / "scans"
    folder.mkdir()
    contents = (b"a", b"crash by 11", b"b", b"crash by 9", b"crash by 6", b"c")
    for number, content in enumerate(contents):
        (folder / f"{number}.png").write_bytes(content)
    return folder


def read_table(path):
    with path.open(newline="") as file:
        return {row["image"][-5:]: row for row in csv.DictReader(file)}


def test_run_goes_on_after_crashes(scans, tmp_path, capsys, monkeypatch):
    """All others have their row and picture; the end tells how many, and which."""
    monkeypatch.setattr("headcirc.cli.analyze.load_local_measure", load_crashing)
    table, overlays = tmp_path / "out.csv", tmp_path / "overlays"
    command = ["analyze", str(scans), "--pixel-size-mm", "0.1", "--csv", str(table)]
    assert main([*command, "--overlay-dir", str(overlays)]) == 1
    rows = read_table(table)
    measured = [name for name, row in rows.items() if row["head_circumference_mm"]]
    assert measured == ["0.png", "2.png", "5.png"]
    for name, signal_name in (("1.png", "SIGSEGV"), ("3.png", "SIGKILL"), ("4.png", "SIGABRT")):
        assert rows[name]["error"].startswith("decoder-crashed: ")
        assert signal_name in rows[name]["error"]
    assert (overlays / "5_overlay.png").read_bytes() == b"picture of c"
    messages = capsys.readouterr().err
    assert "3 of 6 images are measured" in messages
    assert "3 crashed what measured them; --resume leaves them out" in messages
    assert "3 failed:" in messages and f"  {scans / '3.png'}: decoder-crashed" in messages


def test_resumed_run_leaves_crashes_out(scans, tmp_path, capsys, monkeypatch):
    """They stay in the table and in the status, and are met again only on demand."""
    monkeypatch.setattr("headcirc.cli.analyze.load_local_measure", load_crashing)
    table = tmp_path / "out.csv"
    command = ["analyze", str(scans), "--pixel-size-mm", "0.1", "--csv", str(table)]
    main(command)
    before = table.read_text()
    capsys.readouterr()
    assert main([*command, "--resume"]) == 1
    printed, messages = capsys.readouterr()
    assert printed == ""
    assert "6 of 6 images are in the table already" in messages and "3 crashed" in messages
    assert table.read_text() == before
    assert main([*command, "--resume", "--retry-crashed"]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main([*command, "--retry-crashed"]) == 2
    assert "add --resume" in capsys.readouterr().err


HELD = """
import os, signal, sys, time
from contextlib import closing
from headcirc.batch.measuring_process import MeasuringProcess
from tests.support.crashing import load_crashing

with closing(MeasuringProcess(load_crashing)) as process:
    import multiprocessing
    print(multiprocessing.active_children()[0].pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_process_ends_with_its_parent(number):
    """However that ended: no model stays in memory for nobody; Ctrl-C is the parent's alone."""
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)" + HELD
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        child = int(parent.stdout.readline())
        if number == signal.SIGINT:  # as a terminal does, to all of them
            os.killpg(parent.pid, number)
        else:
            parent.send_signal(number)
        messages = parent.communicate(timeout=60)[1]
    assert messages.count("Traceback") == (number == signal.SIGINT)
    until_s = time.monotonic() + 30
    while is_alive(child) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not is_alive(child)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
