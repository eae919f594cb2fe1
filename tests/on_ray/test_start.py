"""How `python -m deploy.ray.serve` starts, or does not."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

import pytest

pytest.importorskip("ray", reason="the package 'ray' is missing (the extra 'ray')")

from deploy.ray import serve as serving
from headcirc.batch.files import UsageError
from headcirc.batch.ray_cluster import count_capacity
from headcirc.pipeline import SHIPPED_MODEL_DIR
from tests.on_ray.conftest import WAIT_S, find_named, wait_for

LOADING = b"ray::ServeReplica:headcirc"


@pytest.fixture
def two_machines(monkeypatch):
    """Stand for a Ray on two machines of two CPUs, one with a GPU."""
    shares = [{"CPU": 2.0}, {"CPU": 2.0, "GPU": 1.0}]
    nodes = [{"Alive": True, "Resources": each} for each in shares]
    nodes.append({"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}})
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 4.0, "GPU": 1.0})


def test_room_is_counted_machine_by_machine(two_machines):
    """What no machine has by itself is no room, and rounding costs none."""
    assert [count_capacity(cpus, 0.0) for cpus in (0.1, 1.0, 1.5, 2.0)] == [40, 4, 2, 2]
    assert count_capacity(1.0, 1.0) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--gpus", "1000"], "1000 GPUs"),
        (
            ["--cpus", "3"],
            "3 CPUs and 0 GPUs of one machine; Ray has 4 and 1 in all, on 2 machines",
        ),
        (["--cpus=0.7", "--min-replicas=5", "--max-replicas=5"], "5 replicas with 0.7 CPUs"),
        (["--cpus=0.5", "--gpus=0.4", "--min-replicas=3", "--max-replicas=3"], "room for 2"),
        (["--cpus", "0"], "--cpus 0.0: Input should be greater than 0."),
        (["--min-replicas=2"], "--min-replicas 2 is larger than --max-replicas 1"),
    ],
)
def test_replicas_without_room_are_refused(two_machines, monkeypatch, capsys, options, told):
    """What Ray could never place ends with status 2 and a sentence; no signal is caught for it."""
    monkeypatch.setenv("HEADCIRC_RESULT_TTL_S", "0")
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert serving.main(options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


@pytest.mark.parametrize("port", ["0", "-1", "65536"])
def test_impossible_port_is_refused(capsys, port):
    """As by `headcirc serve`, before Ray is started."""
    assert serving.main([f"--port={port}"]) == 2
    assert f"{port} is not a port" in capsys.readouterr().err


def test_taken_port_is_refused(capsys):
    """As by `headcirc serve`: Ray would take half a minute to start, and to fail."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert serving.main([f"--port={port}"]) == 2
    assert f"Nothing can listen at 127.0.0.1, port {port}" in capsys.readouterr().err


@pytest.mark.parametrize(("hashes", "is_open"), [(None, True), ("0" * 64, False)])
def test_only_keys_close_the_service(monkeypatch, capsys, hashes, is_open):
    """Without keys everybody can use the service, and a warning says so."""
    monkeypatch.delenv("HEADCIRC_API_KEY_HASHES", raising=False)
    if hashes is not None:
        monkeypatch.setenv("HEADCIRC_API_KEY_HASHES", hashes)

    def refuse(_: object) -> None:
        raise UsageError("no Ray")

    monkeypatch.setattr(serving, "open_ray", refuse)
    monkeypatch.setattr(serving, "require_free_address", lambda host, port: None)
    assert serving.main(["--host", "0.0.0.0"]) == 2  # noqa: S104 - nothing is started
    assert ("OPEN TO EVERYBODY" in capsys.readouterr().err) is is_open


class Slow:
    """Stands for `ray.serve` where an application never comes up."""

    def __init__(self, told: threading.Event) -> None:
        self.looks = 0
        self.applications: dict[str, object] = {}
        self._told = told

    def status(self) -> "Slow":
        """Say that nothing is there; the third time somebody presses Ctrl-C."""
        self.looks += 1
        if self.looks == 3:
            self._told.set()
        return self


def test_start_that_never_comes_ends_when_told(monkeypatch):
    """While nothing answers, a signal ends the wait."""
    from ray import serve

    told = threading.Event()
    slow = Slow(told)
    monkeypatch.setattr(serve, "start", lambda **_: None)
    monkeypatch.setattr(serve, "run_many", lambda *_, **__: None)
    monkeypatch.setattr(serve, "status", slow.status)
    serving.start(None, serving.to_parser().parse_args([]), told)
    assert slow.looks == 3


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_replica_that_never_loads(tmp_path, sent):
    """A model that is a pipe which nobody writes never loads: the command ends when it is told."""
    model = tmp_path / "model"
    shutil.copytree(SHIPPED_MODEL_DIR, model)
    for each in model.glob("*.onnx"):
        each.unlink()
        os.mkfifo(each)
    command = [sys.executable, "-m", "deploy.ray.serve", "--cpus", "1", "--port", "8931"]
    settings = {"HEADCIRC_ARTIFACT_DIR": str(model), "HEADCIRC_BACKEND": "onnxruntime"}
    environment = dict(os.environ) | settings  # noqa: TID251 - a child's
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            wait_for("a replica", lambda: find_named(process.pid, LOADING), process)
            process.send_signal(sent)
            assert process.wait(WAIT_S) == 0, (tmp_path / "log").read_text()
        finally:
            process.kill()
            process.wait()
