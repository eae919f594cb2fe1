"""A folder of images to a folder of results, by workers on Ray: `headcirc batch`.

A run that was interrupted continues where it stopped: see `headcirc.batch.results` for which images
are done. This module does not decode or measure.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headcirc.batch.files import open_bar, to_name
from headcirc.batch.model_identity import ModelIdentity
from headcirc.batch.ray_cluster import Plan, Task, open_ray
from headcirc.batch.result_folder import (
    PARQUET,
    SUMMARY,
    TABLE,
    lock_folder,
    require_same_job,
    write_json,
)
from headcirc.batch.results import DoneRule, find_done, open_table, read_fingerprint, read_rows
from headcirc.batch.stated import StatedFacts
from headcirc.batch.summary import Summary


def list_tasks(source: Path, stated: Mapping[Path, StatedFacts]) -> list[Task]:
    """Return the images of a folder, by their names in it, each with what is stated."""
    return [
        Task(to_name(path.relative_to(source)), path.absolute(), facts)
        for path, facts in stated.items()
    ]


def to_rule(
    tasks: Sequence[Task],
    model: ModelIdentity,
    *,
    retry_crashed: bool,
    frame_index: int | None = None,
) -> DoneRule:
    """Return the rule for what is done; rows of images that were deleted since stay."""
    fingerprints = {
        task.name: read_fingerprint(task.path, task.stated, model, frame_index=frame_index)
        for task in tasks
    }
    return DoneRule(fingerprints, retry_crashed=retry_crashed, keep_others=True)


def run_batch(
    source: Path,
    destination: Path,
    stated: Mapping[Path, StatedFacts],
    plan: Plan,
    *,
    retry_crashed: bool = False,
) -> Summary:
    """Measure the images of a folder that are not done yet; return the summary of all rows.

    Raises
    ------
    UsageError
        Folders, model or Ray cannot be used, or the folder holds results of another model.
    """
    start_s = time.monotonic()
    tasks = list_tasks(source, stated)
    table = destination / TABLE
    with lock_folder(destination), open_ray(plan.address):
        from headcirc.batch.ray_workers import Pool  # imports Ray, which reads its settings then

        pool = Pool(plan)
        try:
            model = pool.start()
            job = require_same_job(destination, model)
            rule = to_rule(tasks, model, retry_crashed=retry_crashed, frame_index=plan.frame_index)
            done = find_done(table, rule)
            remaining = [task for task in tasks if task.name not in done]
            with (
                open_table(table, rule, done) as results,
                open_bar(total=len(tasks), done=len(tasks) - len(remaining)) as bar,
            ):
                for rows in pool.measure(remaining):
                    for row in rows:
                        results.write(row)
                    bar.update(len(rows))
        finally:
            pool.close()
        last_run = {
            "images": len(remaining),
            "workers_lost": pool.lost,
            "duration_s": round(time.monotonic() - start_s, 3),
        }
        return finish(destination, job | {"last_run": last_run})


def finish(destination: Path, facts: dict[str, Any]) -> Summary:
    """Write the summary and the Parquet file of a finished run."""
    from headcirc.batch.parquet_export import write_parquet  # needs the extra `ray`

    table, summary = destination / TABLE, Summary()
    summary.add_all(read_rows(table))
    write_parquet(read_rows(table), destination / PARQUET)
    write_json(destination / SUMMARY, facts | summary.to_facts())
    return summary
