"""Measure why the network takes longer inside a request: `python -m benchmarks.pauses`.

The same process runs the network on the same pictures in three ways, in turns: one picture
directly after the other, after a pause in which every thread sleeps, and after the rest of a
request (decoding, preparation, mask and ellipse of that picture). The pause is as long as that
rest, so the second way shows what waking up costs, and the third also what cold caches cost.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle, islice
from typing import Any

import numpy as np

from benchmarks.interleaving import measure_interleaved, summarise
from harness.documents import write_report
from harness.machine import describe_machine, to_model_facts, to_timestamp
from harness.options import add_folder_options
from harness.paths import SPEED_RESULTS_DIR
from harness.pictures import Picture, load_pictures
from headcirc.model.prediction import Prediction
from headcirc.pipeline import SHIPPED_MODEL_DIR, Pipeline, load_pipeline

RESULT_NAME = "pauses.json"
CALLS, WARM_CALLS = 20, 2
Wait = Callable[[Pipeline, Picture, Prediction], None]


def do_rest(pipeline: Pipeline, picture: Picture, prediction: Prediction) -> None:
    """Do a request's work outside the network, with a known answer of the network."""
    pipeline.finish(pipeline.prepare(picture.content), prediction)


def do_nothing(pipeline: Pipeline, picture: Picture, prediction: Prediction) -> None:
    """Let the network run again at once."""


def measure_rest_s(pipeline: Pipeline, pictures: Sequence[Picture]) -> float:
    """Return the median seconds of a request's work outside the network."""
    seconds = []
    for picture in pictures[:CALLS]:
        (prediction,) = pipeline.backend.infer(pipeline.prepare(picture.content).network_input)
        began_s = time.perf_counter()
        do_rest(pipeline, picture, prediction)
        seconds.append(time.perf_counter() - began_s)
    return float(np.median(seconds))


def take_turn(pipeline: Pipeline, pictures: Iterator[Picture], wait: Wait) -> list[float]:
    """Return the milliseconds of some runs of the network, each after `wait`."""
    samples_ms = []
    for picture in islice(pictures, WARM_CALLS + CALLS):
        network_input = pipeline.prepare(picture.content).network_input
        (prediction,) = pipeline.backend.infer(network_input)
        wait(pipeline, picture, prediction)
        began_s = time.perf_counter()
        pipeline.backend.infer(network_input)
        samples_ms.append(1000 * (time.perf_counter() - began_s))
    return samples_ms[WARM_CALLS:]


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the report."""
    source, pictures = load_pictures(chosen.data)
    pipeline = load_pipeline(SHIPPED_MODEL_DIR)
    rest_s, supply = measure_rest_s(pipeline, pictures), cycle(pictures)
    waits: dict[str, Wait] = {
        "directly": do_nothing,
        "after a pause": lambda *_: time.sleep(rest_s),
        "after the rest of a request": do_rest,
    }
    turns = {name: partial(take_turn, pipeline, supply, wait) for name, wait in waits.items()}
    samples_ms = measure_interleaved(turns, chosen.rounds)
    found = {name: summarise(each) for name, each in samples_ms.items()}
    return {
        "command": "python -m benchmarks.pauses",
        "date": to_timestamp(),
        "machine": describe_machine(),
        "model": to_model_facts(pipeline.manifest),
        "engine": f"{pipeline.backend.name} {pipeline.backend.precision}",
        "pictures": source,
        "pause_ms": 1000 * rest_s,
        "network_ms": found,
        "ratios": {name: each["p50"] / found["directly"]["p50"] for name, each in found.items()},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report and print a line for each way."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pauses", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="turns for each way (default 10)")
    add_folder_options(parser, SPEED_RESULTS_DIR)
    chosen = parser.parse_args(arguments)
    report = measure(chosen)
    write_report(chosen.out / RESULT_NAME, report)
    for name, ratio in report["ratios"].items():
        print(f"{name}: {report['network_ms'][name]['p50']:.2f} ms, {ratio:.3f} times")
    return 0


if __name__ == "__main__":
    sys.exit(main())
