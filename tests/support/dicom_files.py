"""Write DICOM files with a known picture, as ultrasound devices and other programs do."""

import io
import struct
from collections.abc import Mapping
from typing import Any

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence

ULTRASOUND, ULTRASOUND_CINE = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"
PATIENT_NAME, PATIENT_ID = "Doe^Jane^Identified", "ID-271828"
"""Found in no answer, log or overlay."""
PICTURE, DOPPLER, CURVE = (1, 1), (3, 3), (4, 10)
"""Spatial format and data type of a region: tissue in two dimensions, a spectrum, an ECG."""
CM_PER_PX = 0.013


def make_region(
    box: tuple[int, int, int, int],
    delta: tuple[float, float] = (CM_PER_PX, CM_PER_PX),
    *,
    units: tuple[int, int] = (3, 3),
    kind: tuple[int, int] = PICTURE,
    **changes: Any,
) -> Dataset:
    """Return an ultrasound region: left, top, right, bottom; its delta in x and y; its units.

    A change of None removes an attribute.
    """
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType = kind
    region.RegionFlags = 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = box[:2]
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = box[2:]
    region.PhysicalUnitsXDirection, region.PhysicalUnitsYDirection = units
    region.PhysicalDeltaX, region.PhysicalDeltaY = delta
    return change(region, changes)


def change(dataset: Dataset, changes: Mapping[str, Any]) -> Dataset:
    """Set attributes in place; None removes one."""
    for keyword, value in changes.items():
        if value is not None:
            setattr(dataset, keyword, value)
        elif keyword in dataset:
            delattr(dataset, keyword)
    return dataset


def make_header(pixels: np.ndarray, *, frames: int = 1, **changes: Any) -> Dataset:
    """Return the header of a picture, (rows, columns) or (rows, columns, 3), 8 or 16 bits."""
    header = Dataset()
    header.SOPClassUID = ULTRASOUND if frames == 1 else ULTRASOUND_CINE
    header.SOPInstanceUID, header.StudyInstanceUID = uid.generate_uid(), uid.generate_uid()
    header.SeriesInstanceUID, header.Modality = uid.generate_uid(), "US"
    header.PatientName, header.PatientID = PATIENT_NAME, PATIENT_ID
    header.Rows, header.Columns = pixels.shape[:2]
    header.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    header.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    bits = 8 * pixels.dtype.itemsize
    header.BitsAllocated, header.BitsStored, header.HighBit = bits, bits, bits - 1
    header.PixelRepresentation = int(pixels.dtype.kind == "i")
    if pixels.ndim > 2:
        header.PlanarConfiguration = 0
    if frames > 1:
        header.NumberOfFrames = frames
    return change(header, changes)


def make_dicom(
    pixels: np.ndarray | list[np.ndarray],
    *,
    regions: list[Dataset] | None = None,
    syntax: str = uid.ExplicitVRLittleEndian,
    encoded: list[bytes] | None = None,
    pixel_data: bytes | None = None,
    **changes: Any,
) -> bytes:
    """Return a DICOM file.

    Parameters
    ----------
    pixels : array or list of arrays
        One frame, or several.
    regions : list of Dataset, optional
    syntax : str
        Transfer syntax; what is compressed needs `encoded`.
    encoded : list of bytes, optional
        Each frame as a codec wrote it.
    pixel_data : bytes, optional
        The value of the pixel data as it is written.
    changes
        Further attributes; None removes one.
    """
    frames = pixels if isinstance(pixels, list) else [pixels]
    header = make_header(frames[0], frames=len(frames), **changes)
    if regions is not None:
        header.SequenceOfUltrasoundRegions = Sequence(regions)
    is_big = syntax == uid.ExplicitVRBigEndian
    if pixel_data is not None:
        header.PixelData = pixel_data
    elif encoded is not None:
        header.PixelData = encapsulate(encoded)
    else:
        order = ">" if is_big else "<"
        stored = b"".join(each.astype(each.dtype.newbyteorder(order)).tobytes() for each in frames)
        header.PixelData = stored + b"\0" * (len(stored) % 2)
    header["PixelData"].VR = "OB" if encoded is not None or header.BitsAllocated == 8 else "OW"
    header["PixelData"].is_undefined_length = encoded is not None
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = uid.UID(syntax)
    meta.MediaStorageSOPClassUID = header.SOPClassUID
    meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.file_meta = meta
    buffer = io.BytesIO()
    is_implicit = syntax == uid.ImplicitVRLittleEndian
    encoding = {"implicit_vr": is_implicit, "little_endian": not is_big}
    dcmwrite(buffer, header, enforce_file_format=True, **encoding)
    return buffer.getvalue()


def make_code(value: str, scheme: str = "LN") -> Sequence:
    """Return a coded concept, as a sequence."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, "x"
    return Sequence([code])


def make_number(concept: str, value: object, unit: str = "d") -> Dataset:
    """Return a number of an acquisition context."""
    item = Dataset()
    item.ValueType, item.ConceptNameCodeSequence = "NUMERIC", make_code(concept)
    item.NumericValue = value
    item.MeasurementUnitsCodeSequence = make_code(unit, "UCUM")
    return item


def make_dicomdir(*file_ids: str) -> bytes:
    """Return a DICOMDIR that lists pictures, by folders and name with backslashes between."""
    directory, records = Dataset(), []
    for kind in ("PATIENT", "STUDY", "SERIES", *("IMAGE" for _ in file_ids)):
        record = Dataset()
        record.DirectoryRecordType = kind
        records.append(record)
    for record, file_id in zip(records[3:], file_ids, strict=True):
        element = DataElement("ReferencedFileID", "CS", "", validation_mode=0)
        element._value = file_id
        record.add(element)
    records[0].PatientName = PATIENT_NAME
    directory.DirectoryRecordSequence = Sequence(records)
    directory.SOPInstanceUID = uid.generate_uid()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = uid.MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = directory.SOPInstanceUID
    buffer = io.BytesIO()
    dcmwrite(buffer, directory, enforce_file_format=True)
    return buffer.getvalue()


def encode_rle(pixels: np.ndarray) -> bytes:
    """Return RLE data of a frame: one segment for each byte of a sample, the highest first."""
    samples = pixels.reshape(*pixels.shape[:2], -1)
    planes = samples.astype(samples.dtype.newbyteorder(">")).view(np.uint8)
    segments = [
        b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in plane)
        for plane in np.moveaxis(planes, -1, 0)
    ]
    segments = [each + b"\0" * (len(each) % 2) for each in segments]
    offsets = 64 + np.cumsum([0, *(len(each) for each in segments)])[:-1]
    numbers = [len(segments), *(int(each) for each in offsets)]
    return struct.pack("<16I", *numbers, *[0] * (16 - len(numbers))) + b"".join(segments)


ENCODERS = {
    uid.JPEGBaseline8Bit: lambda pixels: imagecodecs.jpeg8_encode(pixels, level=95),
    uid.JPEGLossless: lambda pixels: imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=4),
    uid.JPEGLosslessSV1: lambda pixels: imagecodecs.jpeg8_encode(pixels, lossless=True),
    uid.JPEGLSLossless: imagecodecs.jpegls_encode,
    uid.JPEGLSNearLossless: lambda pixels: imagecodecs.jpegls_encode(pixels, level=2),
    uid.JPEG2000Lossless: lambda pixels: imagecodecs.jpeg2k_encode(
        pixels, codecformat="J2K", reversible=True
    ),
    uid.JPEG2000: lambda pixels: imagecodecs.jpeg2k_encode(pixels, codecformat="J2K", level=40),
    uid.HTJ2KLossless: imagecodecs.htj2k_encode,
    uid.RLELossless: encode_rle,
}
"""Encoder of each compressed transfer syntax that the tests write."""
