"""A measuring function that crashes its process on some files, like a faulty decoder.

The child process of `headcirc.batch.measuring_process` imports this module.
"""

import os

from headcirc.batch.files import Measure, Measured, Row
from headcirc.errors import InputError, ModelArtifactError
from headcirc.geometry import PixelSpacing

CRASH, CRASH_LATER, CRASH_DRAWING = b"crash by ", b"crash later", b"crash drawing"
MODEL = ("1.0.0", "sha", "stub", "fp32")
CIRCUMFERENCE_MM = 175.5


def load_crashing(*_: object, **__: object) -> tuple[Measure, tuple[str, ...]]:
    """Return a function that measures all files except those with the contents above."""
    is_damaged = False

    def measure(content: bytes, spacing: PixelSpacing | None) -> Measured:
        nonlocal is_damaged
        if is_damaged:
            os.kill(os.getpid(), 11)
        if content.startswith(CRASH):
            os.kill(os.getpid(), int(content.removeprefix(CRASH)))
        if content == b"exit":
            os._exit(3)
        if content == b"raise":
            raise MemoryError
        if content == b"refuse":
            raise InputError("The file is empty.")
        is_damaged = content == CRASH_LATER

        def draw() -> bytes:
            if content == CRASH_DRAWING:
                os.kill(os.getpid(), 6)
            return b"picture of " + content

        row = Row(
            head_circumference_mm=CIRCUMFERENCE_MM,
            head_circumference_px=1.0,
            biparietal_diameter_mm=1.0,
            occipitofrontal_diameter_mm=1.0,
            acceptable=True,
        )
        return Measured(row, draw)

    return measure, MODEL


def load_unusable() -> tuple[Measure, tuple[str, ...]]:
    """Raise the error of a damaged model."""
    raise ModelArtifactError("The model is damaged.")


def load_fatal() -> tuple[Measure, tuple[str, ...]]:
    """Crash before the first file."""
    os.kill(os.getpid(), 11)
    raise AssertionError("not reached")
