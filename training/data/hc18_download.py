"""Download HC18 from its public record, and verify that it is the HC18 used in this project.

The check compares decoded pixels, not file bytes: `hc18_pixels.csv` has one SHA-256 for each of the
801 images and 801 outlines. `python -m training.data table --data DIR` prints this table. The
public record contains further images, which are reserved for the final measurement and not used.
"""

import csv
import hashlib
import re
import shutil
import struct
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.request import Request, urlopen

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.data.hc18 import IMAGE_FOLDER, PARTS, SPLIT_PATH, TABLE_NAME, load_part, load_pixels

RECORD_URL = "https://zenodo.org/records/1322001/files"
ARCHIVE_NAME = "training_set.zip"
PIXEL_TABLE_PATH = SPLIT_PATH.with_name("hc18_pixels.csv")
PIXEL_TABLE_COLUMNS = ("filename", "sha256")
PICTURE_NAME = re.compile(r"\d+_\d?HC(_Annotation)?\.png")
CHUNK_BYTES = 1 << 20
SHOWN_NAMES = 5
UNTESTED_NOTICE = (
    "This download has not been tested against the real server. If it fails, download "
    f"{ARCHIVE_NAME} and {TABLE_NAME} by hand from https://doi.org/10.5281/zenodo.1322001 "
    "and check them with: python -m training.data verify --data DIR"
)


@dataclass(frozen=True)
class PixelCheck:
    """Result of a comparison: file names by outcome, each list sorted."""

    same: list[str]
    different: list[str]
    missing: list[str]
    not_used: list[str]

    @property
    def is_complete(self) -> bool:
        """Return whether every expected picture is present with the expected pixels."""
        return not self.different and not self.missing


def to_pixel_sha256(pixels: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of rows and columns (little-endian uint32) followed by the grey values."""
    return hashlib.sha256(struct.pack("<II", *pixels.shape) + pixels.tobytes()).hexdigest()


def load_pixel_table() -> dict[str, str]:
    """Return the committed table: file name to SHA-256."""
    with PIXEL_TABLE_PATH.open(newline="") as table:
        return {row["filename"]: row["sha256"] for row in csv.DictReader(table)}


def write_pixel_table(data_dir: Path) -> None:
    """Print the table of all images and outlines whose exam is in the committed split."""
    images = [each for part in PARTS for each in load_part(data_dir, part)]
    paths = sorted(path for each in images for path in (each.path, each.annotation_path))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(PIXEL_TABLE_COLUMNS)
    for path in tqdm(paths, "hashing pixels"):
        writer.writerow((path.name, to_pixel_sha256(load_pixels(path))))


def check_pixels(data_dir: Path, expected: Mapping[str, str]) -> PixelCheck:
    """Compare the pictures of a folder with a table of file name and SHA-256."""
    folder = data_dir / IMAGE_FOLDER
    found = {path.name for path in folder.glob("*.png")}
    same, different = [], []
    for name in tqdm(sorted(found & set(expected)), "checking pixels"):
        is_same = to_pixel_sha256(load_pixels(folder / name)) == expected[name]
        (same if is_same else different).append(name)
    missing, not_used = set(expected) - found, found - set(expected)
    return PixelCheck(same, different, sorted(missing), sorted(not_used))


def verify(data_dir: Path) -> bool:
    """Compare a folder with the committed table, print the result, return whether it matches."""
    expected = load_pixel_table()
    check = check_pixels(data_dir, expected)
    outlines = sum(name.endswith("_Annotation.png") for name in check.same)
    print(
        f"{len(check.same)} of {len(expected)} pictures have the expected pixels: "
        f"{len(check.same) - outlines} images and {outlines} outlines."
    )
    for purpose, names in (
        ("have other pixels", check.different),
        ("are missing", check.missing),
        ("are not in the table and are not used", check.not_used),
    ):
        if names:
            more = ", ..." if len(names) > SHOWN_NAMES else ""
            print(f"{len(names)} {purpose}: {', '.join(names[:SHOWN_NAMES])}{more}")
    return check.is_complete


def download(data_dir: Path, *, record_url: str = RECORD_URL) -> None:
    """Download the training set and its table into a folder that contains neither.

    Raises
    ------
    FileExistsError
        The folder already contains HC18 or a part of it.
    OSError
        A file could not be downloaded completely.
    """
    if (data_dir / IMAGE_FOLDER).exists() or (data_dir / TABLE_NAME).exists():
        raise FileExistsError(
            f"{str(data_dir)!r} contains HC18 or a part of it. Give another folder, or check this "
            "one with: python -m training.data verify"
        )
    data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data_dir) as draft:
        draft_dir = Path(draft)
        fetch(f"{record_url}/{ARCHIVE_NAME}", draft_dir / ARCHIVE_NAME)
        fetch(f"{record_url}/{TABLE_NAME}", draft_dir / TABLE_NAME)
        unpack(draft_dir / ARCHIVE_NAME, draft_dir / IMAGE_FOLDER)
        (draft_dir / IMAGE_FOLDER).replace(data_dir / IMAGE_FOLDER)
        (draft_dir / TABLE_NAME).replace(data_dir / TABLE_NAME)


def fetch(url: str, path: Path) -> None:
    """Download a URL to a file.

    Raises
    ------
    OSError
        The request failed, or the response was truncated.
    """
    request = Request(url, headers={"User-Agent": "headcirc"})  # noqa: S310 - a constant of ours
    with urlopen(request, timeout=60) as answer, path.open("wb") as file:  # noqa: S310 - as above
        total_bytes = int(answer.headers.get("Content-Length", 0))
        with tqdm(total=total_bytes or None, desc=path.name, unit="B", unit_scale=True) as bar:
            while chunk := answer.read(CHUNK_BYTES):
                bar.update(file.write(chunk))
    received_bytes = path.stat().st_size
    if total_bytes and received_bytes != total_bytes:
        raise OSError(f"{path.name} was truncated after {received_bytes} of {total_bytes} bytes.")


def unpack(archive_path: Path, folder: Path) -> None:
    """Unpack an archive's HC18 pictures into one folder.

    Only the last component of a member's name is used, and only if it is the name of an HC18
    picture, so nothing is written outside the folder.
    """
    folder.mkdir()
    with zipfile.ZipFile(archive_path) as archive:
        for member in tqdm(archive.infolist(), "unpacking"):
            name = PurePosixPath(member.filename).name
            if PICTURE_NAME.fullmatch(name):
                with archive.open(member) as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target)


def run(command: str, data_dir: Path) -> int:
    """Run `download`, `verify` or `table` and return the exit status."""
    if command == "table":
        write_pixel_table(data_dir)
        return 0
    if command == "download":
        print(UNTESTED_NOTICE)
        download(data_dir)
    return 0 if verify(data_dir) else 1
