"""Measure fetal head circumference in a 2-D ultrasound image.

    import headcirc

    model = headcirc.load_model()
    result = model.measure("frame.png", pixel_size_mm=0.1277)
    result.head_circumference_mm, result.interval_mm, result.warnings
    result.overlay()

`headcirc.pipeline` calls the stages in order: `readers`, `network_input`, `backends`, `mask`,
`ellipse`, `measurement`, `quality`, `overlay`. `headcirc.api` documents the names above;
`headcirc.errors` shows the errors as a tree. The import is light: libraries are loaded when a name
is first used. A research tool, not a medical device.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headcirc.api import Measurement, Model, load_model
    from headcirc.errors import HeadCircumferenceError, InferenceError, InputError
    from headcirc.geometry import PixelSpacing, ScaleMarks

__version__ = "0.1.0"

__all__ = [
    "HeadCircumferenceError",
    "InferenceError",
    "InputError",
    "Measurement",
    "Model",
    "PixelSpacing",
    "ScaleMarks",
    "load_model",
]

_HOMES = {
    "headcirc.api": ("Measurement", "Model", "load_model"),
    "headcirc.errors": ("HeadCircumferenceError", "InferenceError", "InputError"),
    "headcirc.geometry": ("PixelSpacing", "ScaleMarks"),
}


def __getattr__(name: str) -> Any:
    """Import the module of a public name when the name is first used (PEP 562)."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names beside what is imported."""
    return sorted({*globals(), *__all__})
