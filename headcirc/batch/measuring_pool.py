"""Measure in several child processes, one for each thread that asks.

While one process decodes a file or fits its ellipse, the network of another one uses the CPUs.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock, local

from headcirc.batch.files import Measure, Measured
from headcirc.batch.measuring_process import Load, MeasuringProcess
from headcirc.batch.model_identity import ModelIdentity
from headcirc.batch.stated import StatedFacts
from headcirc.cpus import count_available_cpus
from headcirc.errors import HeadCircumferenceError

LoadWithThreads = Callable[..., tuple[Measure, ModelIdentity]]
"""Loads a model with `threads=`, the CPUs of its network; it must be picklable."""
PROCESSES = 2
"""More would decode while others decode, and each takes the memory of a network."""
FEWEST_IMAGES = 100
"""For fewer images, starting another process takes as long as it saves, and twice the memory."""
CPU_BACKENDS = ("openvino", "onnxruntime")


class MeasuringPool:
    """Measuring processes that share the CPUs; all start at the same time.

    The calls of one thread go to one process, so that an overlay is that of the last measurement.

    Parameters
    ----------
    load : callable
        See `LoadWithThreads`.
    images : int
        How many will be measured.
    processes : int
        The most processes.

    Attributes
    ----------
    model : ModelIdentity
    threads : int
        How many threads should ask.

    Raises
    ------
    HeadCircumferenceError
        As `MeasuringProcess`.
    """

    def __init__(self, load: LoadWithThreads, *, images: int, processes: int = PROCESSES) -> None:
        cpus = count_available_cpus()
        self.threads = 1 if images < FEWEST_IMAGES else min(processes, cpus)
        self._started = start_processes(
            partial(load, threads=-(-cpus // self.threads)), self.threads
        )
        self.model = self._started[0].model
        if self.model.backend not in CPU_BACKENDS:  # a GPU is not shared
            self.threads = 1
            for each in self._started[1:]:
                each.close()
        self._unused = self._started[: self.threads]
        self._taking = Lock()
        self._own = local()

    def __call__(self, content: bytes, stated: StatedFacts) -> Measured:
        """Measure one file in this thread's process; see `MeasuringProcess`."""
        if not hasattr(self._own, "process"):
            self._own.process = self._take_process()
        measured: Measured = self._own.process(content, stated)
        return measured

    def _take_process(self) -> MeasuringProcess:
        with self._taking:
            return self._unused.pop()

    def close(self) -> None:
        """Kill all processes; calls under way, and later ones, raise `InputError`."""
        for each in self._started:
            each.close()


def start_processes(load: Load, count: int) -> list[MeasuringProcess]:
    """Start several processes at the same time: loading a model keeps one CPU busy, not all.

    Raises
    ------
    HeadCircumferenceError
        As `MeasuringProcess`; then all are closed.
    """
    with ThreadPoolExecutor(count) as executor:
        starts = [executor.submit(MeasuringProcess, load) for _ in range(count)]
    try:
        return [each.result() for each in starts]
    except HeadCircumferenceError:
        for each in starts:
            if each.exception() is None:
                each.result().close()
        raise
