"""Everything that can go wrong on the way from bytes to millimetres, as one tree.

    HeadCircumferenceError
    ├── InputError                    the caller can mend it
    │   ├── UnreadableImageError      bytes  -x-> frame   damaged, cut off or empty
    │   ├── UnsupportedMediaTypeError bytes  -x-> frame   none of the accepted formats
    │   ├── ImageTooLargeError        bytes  -x-> frame   refused before it is decoded
    │   ├── InvalidFrameError         bytes  -x-> frame   which picture of several?
    │   ├── InvalidPixelSizeError     stated pixel size is no length, or stated twice
    │   ├── NoHeadFoundError          mask   -x-> number  (only where a number was promised)
    │   └── PixelSizeMissingError     pixels -x-> mm      (only where a number was promised)
    └── InferenceError                we must mend it
        ├── ModelArtifactError        the shipped model is missing, damaged or not as described
        └── BackendUnavailableError   a runtime that was asked for is not there

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
    """The file is of an accepted format, or empty, and cannot be decoded."""

    code = "unreadable-image"


class UnsupportedMediaTypeError(InputError):
    """The file's content is none of the accepted formats."""

    code = "unsupported-media-type"


class ImageTooLargeError(InputError):
    """The picture has more bytes or pixels than allowed."""

    code = "image-too-large"


class InvalidFrameError(InputError):
    """The file holds several pictures, or not the one that was asked for."""

    code = "invalid-frame"


class InvalidPixelSizeError(InputError):
    """The stated pixel size is no plausible length, or is stated twice or by half."""

    code = "invalid-pixel-size"


class NoHeadFoundError(InputError):
    """A number was promised and the picture shows no head."""

    code = "no-head-found"


class PixelSizeMissingError(InputError):
    """Millimetres were promised and nobody knows the pixel size."""

    code = "pixel-size-missing"


class InferenceError(HeadCircumferenceError):
    """The software or its model failed."""


class ModelArtifactError(InferenceError):
    """The model's files are missing, damaged or not what the manifest says."""


class BackendUnavailableError(InferenceError):
    """A backend that was asked for cannot run here."""
