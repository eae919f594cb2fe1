"""Write a DICOM object as the bytes of a file."""

import io

from pydicom.dataset import Dataset


def to_dicom_file(made: Dataset) -> bytes:
    """Return the bytes of a DICOM file (PS3.10), with preamble and file meta information."""
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
