"""Files to rows by a service elsewhere, where `headcirc.batch` would measure them here.

The rows are the same, field by field. No model is loaded, and what the service refuses becomes the
reason in a row, in the words that this machine would have used.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headcirc.batch import Measure, Measured, Row, UsageError, fill_row
from headcirc.client import Analysis, ClientError, HeadcircClient, ProblemError
from headcirc.client.calls import Stated
from headcirc.errors import InputError
from headcirc.geometry import PixelSpacing


@contextmanager
def open_remote_measure(server_url: str, api_key_file: Path | None) -> Iterator[Measure]:
    """Connect to a service; while this lasts, it measures.

    Raises
    ------
    UsageError
        The key cannot be read, nothing answers there, or it lets nobody in with this key.
    ValueError
        The address is none.
    """
    api_key = None if api_key_file is None else read_api_key(api_key_file)
    with HeadcircClient(server_url, api_key=api_key) as client:
        try:
            client.list_models()
        except ClientError as error:
            raise UsageError(_to_reason(error)) from error
        yield lambda content, spacing: measure_remotely(client, content, spacing)


def read_api_key(path: Path) -> str:
    """Read a key from a file: on the command line everybody on the machine could see it.

    Raises
    ------
    UsageError
    """
    try:
        key = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The API key's file cannot be read ({type(error).__name__}); name a text file."
        ) from error
    if not key.isascii() or not key.isprintable() or not key:
        raise UsageError("The API key's file must hold one line, the key.")
    return key


def measure_remotely(
    client: HeadcircClient, content: bytes, spacing: PixelSpacing | None
) -> Measured:
    """Have one file measured.

    Raises
    ------
    InputError
        There is no answer to this file, and why.
    """
    stated: Stated = {}
    if spacing is not None:
        stated = {"pixel_size_x_mm": spacing.column_mm, "pixel_size_y_mm": spacing.row_mm}
    try:
        analysis = client.analyze(content, **stated)
    except ClientError as error:
        raise InputError(_to_reason(error)) from error
    return Measured(to_row(analysis), lambda: _read_overlay(client, analysis.id))


def _read_overlay(client: HeadcircClient, analysis_id: str) -> bytes:
    try:
        return client.read_overlay(analysis_id)
    except ClientError as error:
        raise InputError(_to_reason(error)) from error


def _to_reason(error: ClientError) -> str:
    return error.detail if isinstance(error, ProblemError) else str(error)


def to_row(analysis: Analysis) -> Row:
    """Return a service's answer as one line of output."""
    head, image = analysis.head, analysis.image
    if head is None:
        return fill_row(analysis.quality)
    interval = head.head_circumference_interval_mm
    return fill_row(
        analysis.quality,
        head.head_circumference_px,
        measured=None if head.head_circumference_mm is None else head,
        bounds_mm=None if interval is None else (interval.low, interval.high),
        pixel_size_mm=(image.pixel_size_x_mm, image.pixel_size_y_mm),
    )
