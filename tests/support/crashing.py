"""Loads what measures as a decoder with a fault would: some files end its process.

It runs in the child process of `headcirc.batch.measuring_process`, so it is a module of its own.
"""

import os
from pathlib import Path

from headcirc.answers import Row
from headcirc.batch.files import Measure, Measured
from headcirc.batch.model_identity import ModelIdentity
from headcirc.batch.stated import StatedFacts
from headcirc.errors import InputError, ModelArtifactError

CRASH, CRASH_LATER, CRASH_DRAWING = b"crash by ", b"crash later", b"crash drawing"
MODEL = ModelIdentity("m", "1.0.0", "sha", "stub", "fp32")
CIRCUMFERENCE_MM = 175.5


def load_crashing(*_: object, **__: object) -> tuple[Measure, ModelIdentity]:
    """Return what measures every file but those that begin as above."""
    is_damaged = False

    def measure(content: bytes, stated: StatedFacts) -> Measured:
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


def load_once(folder: Path, **_: object) -> tuple[Measure, ModelIdentity]:
    """Load for the first process that asks; refuse every other one."""
    try:
        (folder / "taken").touch(exist_ok=False)
    except FileExistsError:
        raise ModelArtifactError("The model is taken.") from None
    return load_crashing()


def load_unusable() -> tuple[Measure, ModelIdentity]:
    """Refuse as a model that is damaged."""
    raise ModelArtifactError("The model is damaged.")


def load_fatal() -> tuple[Measure, ModelIdentity]:
    """Crash before any file is there."""
    os.kill(os.getpid(), 11)
    raise AssertionError("not reached")
