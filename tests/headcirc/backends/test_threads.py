import os
import subprocess
import sys

import numpy as np
import pytest

from headcirc.pipeline import load_pipeline

THREADS = {
    "onnxruntime": "backend.session.get_session_options().intra_op_num_threads",
    "openvino": "backend.compiled.get_property('INFERENCE_NUM_THREADS')",
}
ON_ONE_CPU = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from headcirc.pipeline import load_pipeline
"""


def test_engines_get_one_thread_on_one_cpu():
    """The host's other CPUs are not ours, and a thread for each would only wait.

    In a process of its own, because OpenVINO looks at the CPUs once in a process's life.
    """
    lines = [
        f"backend = load_pipeline(backend={name!r}).backend; print({threads})"
        for name, threads in THREADS.items()
    ]
    program = ON_ONE_CPU + "\n".join(lines)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "1"], done.stderr


@pytest.mark.parametrize("name", THREADS)
def test_runtimes_use_all_cpus_of_the_process(name):
    """Without a limit they use every CPU of this process."""
    backend = load_pipeline(backend=name).backend
    threads = eval(THREADS[name], {"backend": backend})  # noqa: S307 - our own words, above
    assert threads == len(os.sched_getaffinity(0))


def test_shared_network_runs_two_inferences_and_answers_alike():
    """Two streams divide the CPUs; the probabilities are those of one stream, bit for bit."""
    pipeline = load_pipeline(backend="openvino", threads=2, is_shared=True)
    assert pipeline.shared_backend.compiled.get_property("NUM_STREAMS") == 2
    facts = pipeline.manifest.input
    noise = np.random.default_rng(1).normal(size=(1, 1, facts.height_px, facts.width_px))
    alone, shared = (
        pipeline.infer(noise.astype(np.float32), is_alone=is_alone)[0] for is_alone in (True, False)
    )
    assert np.array_equal(alone.probability_map, shared.probability_map)


@pytest.mark.parametrize(("name", "threads"), [("onnxruntime", 2), ("openvino", 1)])
def test_network_is_not_shared_where_nothing_is_gained(name, threads):
    """The other runtime divides nothing, and one CPU cannot be divided; both still answer."""
    assert load_pipeline(backend=name, threads=threads, is_shared=True).shared_backend is None
