"""Define all errors that this package raises, from reading bytes to measuring millimetres.

    HeadCircumferenceError
    ├── InputError                    the caller can fix it
    │   ├── UnreadableImageError      bytes  -x-> frame   damaged, truncated or empty
    │   ├── UnsupportedMediaTypeError bytes  -x-> frame   none of the accepted formats
    │   ├── ImageTooLargeError        bytes  -x-> frame   refused before decoding
    │   ├── InvalidFrameError         bytes  -x-> frame   several pictures and none selected
    │   ├── InvalidPixelSizeError     the stated pixel size is not plausible
    │   ├── ScaleBarError             pixels -x-> mm      no depth scale can be trusted
    │   ├── NoHeadFoundError          mask   -x-> number  (only where a value is required)
    │   └── PixelSizeMissingError     pixels -x-> mm      (only where a value is required)
    └── InferenceError                the operator must fix it
        ├── ModelArtifactError        the shipped model is missing, damaged or not as described
        └── BackendUnavailableError   a requested runtime cannot run here

Each class has a stable `code`; each message says what was found, what is needed and what to do.
No message names a path or a file.
"""

from typing import ClassVar


class HeadCircumferenceError(Exception):
    """Base of all errors that this package raises on purpose."""

    code: ClassVar[str] = "internal-error"


class InputError(HeadCircumferenceError):
    """The caller sent something that cannot be measured."""

    code = "invalid-parameter"


class UnreadableImageError(InputError):
    """The file is empty or damaged, so it cannot be decoded."""

    code = "unreadable-image"


class UnsupportedMediaTypeError(InputError):
    """The file's content is not in an accepted format."""

    code = "unsupported-media-type"


class ImageTooLargeError(InputError):
    """The picture has more bytes or pixels than allowed."""

    code = "image-too-large"


class InvalidFrameError(InputError):
    """The file contains several pictures, or not the requested one."""

    code = "invalid-frame"


class InvalidPixelSizeError(InputError):
    """The stated pixel size is implausible, incomplete or contradictory."""

    code = "invalid-pixel-size"


class ScaleBarError(InputError):
    """The pixel size was to come from the depth scale, and none was found that can be trusted."""

    code = "scale-bar-not-found"


class NoHeadFoundError(InputError):
    """A measurement is required, but the picture shows no head."""

    code = "no-head-found"


class PixelSizeMissingError(InputError):
    """A measurement in millimetres is required, but the pixel size is unknown."""

    code = "pixel-size-missing"


class InferenceError(HeadCircumferenceError):
    """The software or its model failed."""


class ModelArtifactError(InferenceError):
    """The model's files are missing, damaged or do not match the manifest."""


class BackendUnavailableError(InferenceError):
    """The requested backend cannot run here."""
