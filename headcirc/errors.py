"""Define all errors that this package raises, from reading bytes to measuring millimetres.

    HeadCircumferenceError
    ├── InputError                    the caller can fix it
    │   ├── UnreadableImageError      bytes  -x-> frame   damaged, truncated or empty
    │   ├── UnsupportedMediaTypeError bytes  -x-> frame   none of the accepted formats
    │   ├── ImageTooLargeError        bytes  -x-> frame   refused before decoding
    │   ├── InvalidFrameError         bytes  -x-> frame   several pictures and none selected
    │   ├── InvalidPixelSizeError     the stated pixel size is not plausible
    │   ├── InvalidGestationalAgeError  the stated gestational age is not plausible
    │   ├── GestationalAgeMissingError  a growth chart is required, but no age was stated
    │   ├── PixelSizeConflictError    the stated pixel size is not that of the file
    │   ├── UnusableHeaderError       DICOM  -x-> report  the header lacks what a report repeats
    │   ├── UnreliableResultError     answer -x-> report  the report cannot carry a warning
    │   ├── ScaleBarError             pixels -x-> mm      no depth scale can be trusted
    │   ├── InvalidEllipseError       the ellipse that a person drew is no head in the picture
    │   ├── NoHeadFoundError          mask   -x-> number  (only where a value is required)
    │   └── PixelSizeMissingError     pixels -x-> mm      (only where a value is required)
    └── InferenceError                the operator must fix it
        ├── ModelArtifactError        the shipped model is missing, damaged or not as described
        ├── SiteFileError             the site file is missing, damaged or of another model
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


class InvalidGestationalAgeError(InputError):
    """The stated gestational age is not a plausible number of days."""

    code = "invalid-gestational-age"


class GestationalAgeMissingError(InputError):
    """A comparison with others of the same age is required, but no gestational age was stated."""

    code = "gestational-age-missing"


class PixelSizeConflictError(InputError):
    """The stated pixel size differs from that of the DICOM file."""

    code = "pixel-size-conflict"


class UnusableHeaderError(InputError):
    """The DICOM file's header lacks what a report about the picture must repeat."""

    code = "dicom-header-unusable"


class UnreliableResultError(InputError):
    """The result is not acceptable, and what is asked for cannot say so."""

    code = "result-unreliable"


class ScaleBarError(InputError):
    """The pixel size was to come from the depth scale, and none was found that can be trusted."""

    code = "scale-bar-not-found"


class InvalidEllipseError(InputError):
    """The ellipse that a person drew cannot be a head in the picture."""

    code = "invalid-ellipse"


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


class SiteFileError(InferenceError):
    """The site file is missing, damaged or implausible, or belongs to another model."""

    code = "site-file"


class BackendUnavailableError(InferenceError):
    """The requested backend cannot run here."""
