"""The folder that `headcirc batch` writes: the table, the summary, and the model it was made with.

The table is the same as that of `analyze --csv` (`headcirc.batch.results`).
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from headcirc import __version__
from headcirc.batch.files import UsageError
from headcirc.batch.model_identity import ModelIdentity
from headcirc.batch.replace_file import replace_file

SCHEMA_VERSION = 2
TABLE, PARQUET = "results.csv", "results.parquet"
JOB, SUMMARY, LOCK = "job.json", "summary.json", ".lock"


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Create the folder if it is missing, and keep other runs out of it.

    Raises
    ------
    UsageError
        Another run is writing there, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise UsageError(
            f"The results' folder cannot be written ({type(error).__name__}); name another."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                "Another run is writing to the results' folder; wait until it has ended."
            ) from error
        yield


def require_same_job(folder: Path, model: ModelIdentity) -> dict[str, Any]:
    """Start a job in an empty folder, or continue one; return what `job.json` says.

    `batch` resumes without being asked to. So it refuses another model or release here, where
    `analyze --resume` would measure everything again.

    Raises
    ------
    UsageError
        The folder holds results of another model or release.
    """
    path = folder / JOB
    job = {"schema_version": SCHEMA_VERSION, "release": __version__, "model": asdict(model)}
    if not path.exists():
        write_json(path, job)
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{JOB} in the results' folder cannot be read ({type(error).__name__}); name an empty "
            "folder."
        ) from error
    if found != job:
        raise UsageError(
            "The results' folder was written with another model, backend or release of headcirc. "
            f"This is {_describe(job)}, that was {_describe(found)}; name an empty folder."
        )
    return job


def _describe(job: Any) -> str:
    """Return a job in a few words, whatever an unknown release wrote."""
    if not isinstance(job, dict) or not isinstance(job.get("model"), dict):
        return "something else"
    model = " ".join(str(each)[:12] for each in job["model"].values())
    return f"{model} by headcirc {job.get('release', 'of an earlier release')}"


def write_json(path: Path, facts: dict[str, Any]) -> None:
    """Write facts to a file, completely or not at all."""
    with replace_file(path) as unfinished:
        unfinished.write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n")
