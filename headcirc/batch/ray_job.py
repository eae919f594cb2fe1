"""A folder of images to a folder of results, by workers on Ray: `headcirc batch`.

A run that was cut off, however hard, goes on where it stopped. This module does not decode or
measure.
"""

import math
import os
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from headcirc.answers import Row
from headcirc.batch.files import open_bar, to_name
from headcirc.batch.parquet_results import Facts, Origin, ResultFolder, open_results, read_origin
from headcirc.batch.ray_cluster import Plan, Task, open_ray
from headcirc.geometry import PixelSpacing

ROWS_A_PART = 1024
PART_EVERY_S = 10.0
"""The work of this long, at most, is done again after the whole run was killed."""


class Buffer:
    """Rows that wait for their part; leaving the `with` statement writes what is left."""

    def __init__(self, parts: ResultFolder, origins: dict[str, Origin]) -> None:
        self._parts = parts
        self._origins = origins
        self._rows: dict[str, tuple[Row, Origin]] = {}
        self._since_s = -math.inf  # the first rows at once: can a part be written?

    def __enter__(self) -> "Buffer":
        """Use it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is left, whatever ended the run."""
        self._write()

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows; write a part when there are many, or the last one was some time ago."""
        self._rows |= {row.image: (row, self._origins[row.image]) for row in rows}
        is_late = time.monotonic() - self._since_s > PART_EVERY_S
        if is_late or len(self._rows) >= ROWS_A_PART:
            self._write()

    def _write(self) -> None:
        self._parts.write(self._rows)
        self._rows, self._since_s = {}, time.monotonic()


def list_tasks(source: Path, spacings: Mapping[Path, PixelSpacing | None]) -> list[Task]:
    """Return the images of a folder, by their names in it, each with its pixel spacing."""
    return [
        Task(to_name(path.relative_to(source)), path.absolute(), spacing)
        for path, spacing in spacings.items()
    ]


def is_over(name: str, source: Path, names: Collection[str]) -> bool:
    """Return whether a passing reason is over: its image is tried again, or its folder opens."""
    folder = source / name
    return name in names or (os.path.isdir(folder) and os.access(folder, os.R_OK | os.X_OK))


def run_batch(
    source: Path,
    destination: Path,
    spacings: Mapping[Path, PixelSpacing | None],
    plan: Plan,
    *,
    retry_crashed: bool = False,
) -> Facts:
    """Measure what has no row yet of a folder's images and return the summary of everything.

    Raises
    ------
    UsageError
        Folders, model or Ray cannot be used, or do not fit what was measured before.
    """
    began_s = time.monotonic()
    tasks = list_tasks(source, spacings)
    origins = {task.name: read_origin(task.path, task.spacing) for task in tasks}
    with open_results(destination, retry_crashed=retry_crashed) as parts, open_ray(plan.address):
        parts.require_unchanged(origins)
        left = [task for task in tasks if task.name not in parts.origins]
        from headcirc.batch.ray_workers import Pool  # imports Ray, which reads its settings then

        pool = Pool(plan)
        try:
            parts.require_job(pool.start())
            parts.forget_passing(lambda name: is_over(name, source, origins))
            with (
                Buffer(parts, origins) as buffer,
                open_bar(total=len(tasks), done=len(tasks) - len(left)) as bar,
            ):
                for rows in pool.measure(left):
                    buffer.add(rows)
                    bar.update(len(rows))
        finally:
            pool.close()
        run = {"images": len(left), "workers_lost": pool.lost}
        return parts.write_summary(run | {"duration_s": round(time.monotonic() - began_s, 3)})
