"""DICOM objects as a scanner sends them, and findings about a drawn head in them."""

import io
from dataclasses import replace

import numpy as np
from pydicom.config import IGNORE, disable_value_validation
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from headcirc.answers import AnalysisFacts, Interval, to_analysis_facts
from headcirc.dicom_source import DicomSource
from headcirc.geometry import Ellipse, PixelSpacing
from headcirc.reports.dicom.finding import Finding
from tests.support.synthetic import HEAD, draw_head, to_file, to_synthetic_pipeline

PIXEL_DATA = 0x7FE00010
ROOT = "1.2.826.0.1.3680043.8.498.1"
SPACING = PixelSpacing(row_mm=0.2, column_mm=0.2)
SHA256 = "ab" * 32
CREATED = "2026-01-02T03:04:05Z"


def to_ultrasound(pixels: np.ndarray | None = None, **changes: object) -> Dataset:
    """Return an ultrasound object; pixels (rows, columns) or (frames, rows, columns), uint8.

    `changes` sets attributes; None deletes one.
    """
    pixels = draw_head() if pixels is None else pixels
    frames = pixels.shape[0] if pixels.ndim == 3 else 1
    is_cine = pixels.ndim == 3
    source = Dataset()
    source.SOPClassUID = UltrasoundMultiFrameImageStorage if is_cine else UltrasoundImageStorage
    source.SOPInstanceUID = f"{ROOT}.3.1"
    source.StudyInstanceUID, source.SeriesInstanceUID = f"{ROOT}.1", f"{ROOT}.2"
    source.PatientName, source.PatientID = "Doe^Jane", "P-1"
    source.PatientBirthDate, source.PatientSex = "19900102", "F"
    source.StudyDate, source.StudyTime, source.StudyID = "20260101", "101500", "S1"
    source.AccessionNumber, source.ReferringPhysicianName = "A-1", "Roe^Ann"
    source.Modality, source.SeriesNumber, source.InstanceNumber = "US", 1, 7
    source.Manufacturer, source.ManufacturerModelName = "Maker", "Scanner"
    source.Rows, source.Columns = pixels.shape[-2:]
    if is_cine:
        source.NumberOfFrames = frames
        source.FrameTime = 40
        source.FrameIncrementPointer = 0x00181063
    source.SamplesPerPixel, source.PhotometricInterpretation = 1, "MONOCHROME2"
    source.BitsAllocated = source.BitsStored = 8
    source.HighBit, source.PixelRepresentation = 7, 0
    source.SequenceOfUltrasoundRegions = [to_region(pixels.shape[-2:])]
    source.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    for keyword, value in changes.items():
        if value is None:
            delattr(source, keyword)
            continue
        tag = tag_for_keyword(keyword)
        source[tag] = DataElement(tag, dictionary_VR(tag), value, validation_mode=IGNORE)
    return source


def to_header(source: Dataset) -> Dataset:
    """Return the header as it is read from a file, with values that are not converted yet."""
    header = Dataset({tag: element for tag, element in source.items() if tag != PIXEL_DATA})
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    with disable_value_validation():
        write_dataset(buffer, header)
    buffer.seek(0)
    return read_dataset(buffer, is_implicit_VR=False, is_little_endian=True)


def to_region(shape: tuple[int, ...], spacing: PixelSpacing = SPACING) -> Dataset:
    """Return a calibrated region that is the whole picture."""
    rows, columns = shape
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = columns - 1, rows - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = spacing.column_mm / 10, spacing.row_mm / 10
    return region


def to_dicom_file(source: Dataset) -> bytes:
    """Return the bytes of a DICOM file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = source.SOPClassUID
    meta.MediaStorageSOPInstanceUID = source.SOPInstanceUID
    source.file_meta = meta
    buffer = io.BytesIO()
    source.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def to_finding(
    source: Dataset | None = None, ellipse: Ellipse = HEAD, **places: int
) -> tuple[Finding, np.ndarray]:
    """Return a finding about a drawn head, and the mask of the head in the frame.

    `places` are fields of `DicomSource`.
    """
    source = to_ultrasound() if source is None else source
    pipeline = to_synthetic_pipeline()
    rows = source.Rows - places.get("top_px", 0)
    columns = source.Columns - places.get("left_px", 0)
    content = to_file(draw_head(ellipse, rows=rows, columns=columns))
    analysis = pipeline.analyze(content, pixel_spacing=SPACING)
    facts = to_analysis_facts(analysis, pipeline)
    return (
        Finding(
            source=DicomSource(
                to_header(source), frames=int(source.get("NumberOfFrames", 1)), **places
            ),
            answer=with_interval(facts),
        ),
        analysis.head.mask.pixels,
    )


def with_interval(facts: AnalysisFacts) -> AnalysisFacts:
    """Return an answer with an interval of 2 mm below and 3 mm above, a fixed time and model."""
    circumference_mm = facts.head.head_circumference_mm
    interval = Interval(0.9, circumference_mm - 2, circumference_mm + 3)
    head = replace(facts.head, head_circumference_interval_mm=interval)
    model = replace(facts.model, sha256=SHA256)
    return replace(facts, head=head, created=CREATED, model=model)
