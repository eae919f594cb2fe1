"""Measure files by a running service, in place of a model in this process.

The rows are the same, field by field. If the service refuses a file, its message becomes the row's
error.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from headcirc.answers import to_row
from headcirc.batch.files import Measure, Measured, UsageError
from headcirc.batch.model_identity import ModelIdentity
from headcirc.batch.safe_text import escape_controls
from headcirc.batch.stated import StatedFacts
from headcirc.client import (
    Analysis,
    CineLine,
    ClientError,
    HeadcircClient,
    ProblemError,
    UnreachableError,
)
from headcirc.client.calls import CineStated, Stated
from headcirc.client.retries import RETRIED_STATUSES
from headcirc.errors import InputError
from headcirc.geometry import PixelSpacing, StatedScale

MAX_CONSECUTIVE_UNANSWERED = 12
"""Each after the client's own retries: a service that restarts is back by then."""


@contextmanager
def open_remote_measure(
    server_url: str,
    api_key_file: Path | None,
    *,
    caption: bool = True,
    frame_index: int | None = None,
) -> Iterator[tuple[Measure, ModelIdentity]]:
    """Connect to a service; give the function that measures there, and the model it uses.

    Raises
    ------
    UsageError
        The key cannot be read, nothing answers at the address, or the service refuses the key.
    ValueError
        The address or the key is not valid.
    """
    api_key = None if api_key_file is None else read_api_key(api_key_file)
    with HeadcircClient(server_url, api_key=api_key) as client:
        try:
            served, *_ = client.list_models()
        except ClientError as error:
            raise UsageError(_to_reason(error)) from error
        model = ModelIdentity(
            name=served.name,
            version=served.version,
            sha256=served.sha256,
            backend=served.backend,
            precision=served.precision,
            site_sha256="" if served.site is None else served.site.sha256,
        )
        yield RemoteMeasure(client, caption=caption, frame_index=frame_index), model


def read_api_key(path: Path) -> str:
    """Read an API key from a file; every user of the machine can see a command line.

    Raises
    ------
    UsageError
    """
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The API key's file cannot be read ({type(error).__name__}); name a text file."
        ) from error


class RemoteMeasure:
    """Lets a service measure one file after another, and stops if the service is gone."""

    def __init__(
        self,
        client: HeadcircClient,
        *,
        caption: bool = True,
        frame_index: int | None = None,
    ) -> None:
        self._client = client
        self._frame_index = frame_index
        self._caption = caption
        self._unanswered = 0

    def __call__(self, content: bytes, stated: StatedFacts) -> Measured:
        """Let the service measure one file.

        Raises
        ------
        InputError
            The service has not measured this file; the message says why.
        UsageError
            So many files in a row had no answer that the rest would fail, too.
        """
        age_days = stated.gestational_age_days
        fields: Stated = {"frame": self._frame_index, "gestational_age_days": age_days}
        fields |= to_stated(stated.scale)
        try:
            analysis = self._client.analyze(content, **fields)
        except ClientError as error:
            self._unanswered = self._unanswered + 1 if _is_away(error) else 0
            if self._unanswered >= MAX_CONSECUTIVE_UNANSWERED:
                raise UsageError(
                    f"{self._unanswered} images in a row had no answer, the last one so: "
                    f"{_to_reason(error)} What was measured is kept; see to the service."
                ) from error
            raise InputError(_to_reason(error)) from error
        self._unanswered = 0
        answer = escape_warnings(analysis)
        return Measured(to_row(answer), lambda: self._read_overlay(analysis.id), answer)

    def _read_overlay(self, analysis_id: str) -> bytes:
        try:
            return self._client.read_overlay(analysis_id, caption=self._caption)
        except ClientError as error:
            raise InputError(_to_reason(error)) from error


@contextmanager
def open_remote_cine(
    server_url: str,
    api_key_file: Path | None,
    contents: Sequence[bytes],
    scale: StatedScale | None,
) -> Iterator[Iterator[CineLine]]:
    """Let a service measure a cine; give the lines of its answer.

    Raises
    ------
    UsageError
        The key cannot be read, or nothing answers at the address.
    InputError
        The service cannot measure the cine, or not to its end.
    ValueError
        The address or the key is not valid.
    """
    api_key = None if api_key_file is None else read_api_key(api_key_file)
    stated: CineStated = {}
    if isinstance(scale, PixelSpacing):
        stated = {"pixel_size_x_mm": scale.column_mm, "pixel_size_y_mm": scale.row_mm}
    elif scale is not None:
        stated = {"scale_mark_mm": scale.mark_mm}
    with HeadcircClient(server_url, api_key=api_key) as client:
        try:
            yield client.stream_cine(contents, **stated)
        except ProblemError as error:
            raise InputError(_to_reason(error)) from error
        except ClientError as error:
            raise UsageError(_to_reason(error)) from error


def to_stated(scale: StatedScale | None) -> Stated:
    """Return the fields of a request that state the scale of an image."""
    if scale is None:
        return {}
    if isinstance(scale, PixelSpacing):
        return {"pixel_size_x_mm": scale.column_mm, "pixel_size_y_mm": scale.row_mm}
    return {"scale_mark_mm": scale.mark_mm}


def _is_away(error: ClientError) -> bool:
    """Return whether the error is about the service and not about the file."""
    if isinstance(error, ProblemError):
        return error.status in RETRIED_STATUSES
    return isinstance(error, UnreachableError)


def _to_reason(error: ClientError) -> str:
    """Return the message in one line; control characters in a server's text are escaped."""
    return escape_controls(error.detail if isinstance(error, ProblemError) else str(error))


def escape_warnings(analysis: Analysis) -> Analysis:
    """Return an answer whose warning codes write no control characters to a terminal."""
    codes = tuple(escape_controls(code) for code in analysis.quality.warnings)
    return replace(analysis, quality=replace(analysis.quality, warnings=codes))
