import os
import subprocess
import sys

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
