"""Run a network in a separate process, so that engines share neither threads nor memory.

The child process loads one engine. A line of JSON on its standard input requests a turn; a line on
its standard output has the milliseconds. The timed call goes from numpy array to numpy array (on a
GPU with both copies), on frames that are already decoded.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from benchmarks.engines import (
    Array,
    Engine,
    Kind,
    Network,
    load_network,
    load_peer,
    load_product,
)
from benchmarks.interleaving import take_turn
from benchmarks.peers import Peer, find_peer
from harness.pictures import load_pictures
from headcirc.errors import HeadCircumferenceError
from headcirc.model.manifest import InputFacts, load_manifest
from headcirc.network_input import to_network_input
from headcirc.readers import decode_frame

FRAMES, MOST_BATCH = 8, 64
"""Number of different frames; a larger batch repeats them."""
STOP_TIMEOUT_S = 30.0


class AbsentEngineError(Exception):
    """The engine is not available or cannot run this model; the message has the reason."""


class NetworkProcess:
    """Start the child process, request turns and end it."""

    def __init__(
        self,
        engine: Engine,
        data_dir: Path,
        *,
        is_product: bool = False,
        peer: Peer | None = None,
    ) -> None:
        """Start the child process and wait until it is warm.

        With a peer, the engine only says how it runs and what its input is.

        Raises
        ------
        AbsentEngineError
            The engine is not available.
        """
        kind = engine.kind
        command = [sys.executable, "-m", "benchmarks.network_process", "--data", str(data_dir)]
        command += ["--model", str(engine.model_dir), "--backend", kind.backend]
        command += ["--precision", kind.precision, "--device", kind.device]
        command += ["--product"] if is_product else []
        command += [] if peer is None else ["--peer", f"{peer.architecture} {peer.width}"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started = self._read()
        if "absent" in started:
            self.close()
            raise AbsentEngineError(started["absent"])
        self.gflop: float | None = started["gflop"]

    def take_turn(self, *, limit_s: float, most_calls: int, batch: int = 1) -> list[float]:
        """Return the milliseconds of a few calls; see `interleaving.take_turn`."""
        assert self._process.stdin is not None
        request = {"limit_s": limit_s, "most_calls": most_calls, "batch": batch}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        samples_ms: list[float] = self._read()["samples_ms"]
        return samples_ms

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            return {"absent": f"its process ended with status {self._process.wait()}"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the child process, which stops when its standard input closes."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()


def load_frames(data_dir: Path, facts: InputFacts) -> Array:
    """Return the network inputs (`FRAMES`, 1, h, w) of real pictures."""
    _, pictures = load_pictures(data_dir)
    inputs = [
        to_network_input(decode_frame(picture.content).pixels, facts)[0]
        for picture in pictures[:FRAMES]
    ]
    return np.concatenate(inputs)


def load(chosen: argparse.Namespace) -> tuple[Network, Array, float | None]:
    """Return the network, its inputs, and the GFLOP if it is a chain of matrix products."""
    kind = Kind(chosen.backend, chosen.precision, chosen.device)
    if chosen.product:
        with tempfile.TemporaryDirectory() as folder:
            network, side, gflop = load_product(chosen.model, kind, Path(folder))
        return network, np.zeros((1, 1, 1, side), np.float32), gflop
    if chosen.peer is not None:
        facts = load_manifest(chosen.model).input
        return load_peer(chosen.peer, kind), load_frames(chosen.data, facts), None
    manifest, network = load_network(Engine(chosen.model, kind))
    return network, load_frames(chosen.data, manifest.input), None


def answer_turns(network: Network, inputs: Array, requests: IO[str], answers: IO[str]) -> None:
    """Take a turn for every requested line; each call uses the next frames."""
    at, count = 0, len(inputs)
    # So that each batch is a view, also one that begins with the last frame.
    repeated = np.concatenate([inputs] * (1 + -(-MOST_BATCH // count)))
    for line in requests:
        request = json.loads(line)
        batch = request.pop("batch")

        def call(size: int = batch) -> None:
            nonlocal at
            network(repeated[at : at + size])
            at = (at + size) % count

        print(json.dumps({"samples_ms": take_turn(call, **request)}), file=answers, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the child process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.network_process")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    for name in ("--backend", "--precision", "--device"):
        parser.add_argument(name, required=True)
    parser.add_argument("--peer", type=find_peer, help="run this network instead of the model")
    parser.add_argument("--product", action="store_true", help="run matrix products, not the model")
    chosen = parser.parse_args(arguments)
    # Runtimes may print; send that to standard error, so that the parent reads only answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        network, inputs, gflop = load(chosen)
        network(inputs[:1])
    except HeadCircumferenceError as error:
        print(json.dumps({"absent": str(error)}), file=answers, flush=True)
        return
    print(json.dumps({"gflop": gflop}), file=answers, flush=True)
    answer_turns(network, inputs, sys.stdin, answers)


if __name__ == "__main__":
    main()
