"""Measure images by workers on Ray, on this machine or on several.

Each worker is an actor that loads the model once. If a worker dies, others measure the images that
it was working on. An image that ends every worker gets a row that says so. This module writes no
files.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from headcirc.answers import Row
from headcirc.batch.files import (
    CRASHED,
    GIVEN_UP,
    REMEDY,
    UsageError,
    measure_files,
    to_local_measure,
)
from headcirc.batch.model_identity import ModelIdentity, identify_model
from headcirc.batch.ray_cluster import Plan, Task, count_capacity
from headcirc.pipeline import load_pipeline

IMAGES_PER_CHUNK = 16
MAX_ATTEMPTS = 3
MAX_CONSECUTIVE_FAILURES = 12


@dataclass(frozen=True)
class Chunk:
    """Images that one call measures, and how many calls have failed so far."""

    tasks: tuple[Task, ...]
    attempts: int = 0

    @property
    def is_spent(self) -> bool:
        """Return whether it is not tried again."""
        return self.attempts >= MAX_ATTEMPTS

    def to_retries(self) -> list["Chunk"]:
        """Return the chunks to try after a failure: each image alone, to find the one at fault."""
        return [Chunk((task,), self.attempts + 1) for task in self.tasks]


class MeasuringWorker:
    """Measures images inside a Ray actor."""

    def load(self, plan: Plan) -> ModelIdentity:
        """Load the model and return its identity; raises as `load_pipeline`."""
        pipeline = load_pipeline(
            plan.model_dir,
            backend=plan.backend,
            precision=plan.precision,
            site_file=plan.site_file,
            threads=max(1, int(plan.cpus)),
        )
        self._measure = to_local_measure(pipeline, frame_index=plan.frame_index)
        return identify_model(pipeline)

    def measure(self, tasks: Sequence[Task]) -> list[Row]:
        """Measure images in order; an image that cannot be measured gives a row that says why."""
        return [
            replace(row, image=task.name)
            for task in tasks
            for row in measure_files(self._measure, [task.path], {task.path: task.stated})
        ]


class Pool:
    """The workers and the chunk that each one measures.

    Parameters
    ----------
    plan : Plan
    worker : type
        The class of the actors; tests use one that crashes.

    Attributes
    ----------
    lost : int
        Workers that died and were replaced.

    Raises
    ------
    UsageError
        Ray has no room for a single worker and would wait forever.
    """

    def __init__(self, plan: Plan, worker: type[MeasuringWorker] = MeasuringWorker) -> None:
        self.lost = 0
        self._worker = worker
        self._plan = plan
        room = count_capacity(plan.cpus, plan.gpus)
        self._size = plan.workers or room
        self._model: ModelIdentity | None = None
        self._busy: dict[Any, tuple[Any, Chunk | None]] = {}
        self._idle: list[Any] = []
        self._failures = 0

    def start(self) -> ModelIdentity:
        """Load the model in a first worker, which may build files that the others reuse.

        Raises
        ------
        UsageError
            The model cannot be used.
        """
        worker = self._spawn()
        try:
            model: ModelIdentity = ray.get(worker.load.remote(self._plan))
        except RayTaskError as error:
            raise UsageError(f"No worker can start: {error.cause}") from error
        except RayError as error:
            raise UsageError(f"No worker can start: {_to_reason(error)}") from error
        self._model = model
        self._idle.append(worker)
        return model

    def measure(self, tasks: Sequence[Task]) -> Iterator[list[Row]]:
        """Measure all images; yield their rows in the order in which workers finish."""
        starts = range(0, len(tasks), IMAGES_PER_CHUNK)
        queue = deque(Chunk(tuple(tasks[at : at + IMAGES_PER_CHUNK])) for at in starts)
        for _ in range(min(self._size, len(queue)) - 1):
            self._begin(self._spawn(), None)
        while queue or any(chunk for _, chunk in self._busy.values()):
            while queue and self._idle:
                self._begin(self._idle.pop(), queue.popleft())
            (done, *_), _ = ray.wait(list(self._busy))
            worker, chunk = self._busy.pop(done)
            try:
                answer = ray.get(done)
            except RayError as error:
                retries = self._note_failure(worker, chunk, error)
                yield [_to_given_up(each, error) for each in retries if each.is_spent]
                queue.extend(each for each in retries if not each.is_spent)
                continue
            self._failures = 0
            self._idle.append(worker)
            if chunk is None:
                self._require_same(answer)
            else:
                yield answer

    def _spawn(self) -> Any:
        options = {"num_cpus": self._plan.cpus, "num_gpus": self._plan.gpus, "max_restarts": 0}
        return ray.remote(self._worker).options(**options).remote()

    def _begin(self, worker: Any, chunk: Chunk | None) -> None:
        """Start a call: a worker measures a chunk, or loads its model if there is none."""
        call = (
            worker.load.remote(self._plan) if chunk is None else worker.measure.remote(chunk.tasks)
        )
        self._busy[call] = worker, chunk

    def _note_failure(self, worker: Any, chunk: Chunk | None, error: Exception) -> list[Chunk]:
        """Replace a worker that died or could not start; return the chunks to try again."""
        self._failures += 1
        if self._failures >= MAX_CONSECUTIVE_FAILURES:
            raise UsageError(
                f"Workers failed {self._failures} times in a row, the last time with "
                f"{_to_reason(error)}. Finished rows are kept; run the command again to continue."
            ) from error
        if isinstance(error, RayActorError) or chunk is None:
            self.lost += 1
            ray.kill(worker)
            self._begin(self._spawn(), None)
        else:
            self._idle.append(worker)
        return [] if chunk is None else chunk.to_retries()

    def _require_same(self, model: ModelIdentity) -> None:
        if model != self._model:
            raise UsageError(
                f"Workers loaded different models, {self._model} and {model}; name --backend and "
                "--precision."
            )

    def close(self) -> None:
        """End all workers."""
        for worker in (*self._idle, *(worker for worker, _ in self._busy.values())):
            ray.kill(worker)


def _to_given_up(chunk: Chunk, error: Exception) -> Row:
    """Return the row of an image that failed in each attempt; see `CRASHED` and `GIVEN_UP`."""
    if isinstance(error, RayActorError):
        reason = f"{CRASHED}: {chunk.attempts} workers were ended by it; {REMEDY}"
    else:
        reason = f"{chunk.attempts} {GIVEN_UP}: {_to_reason(error)}"
    return Row(chunk.tasks[0].name, error=reason)


def _to_reason(error: Exception) -> str:
    """Return the error's class; Ray's own text has a stack trace and advice."""
    if isinstance(error, RayTaskError):
        return type(error.cause).__name__
    return type(error).__name__
