import hashlib
import zipfile

import cv2
import numpy as np
import pytest

from training.data import hc18
from training.data.__main__ import main
from training.data.hc18_download import (
    ARCHIVE_NAME,
    check_pixels,
    download,
    load_pixel_table,
    to_pixel_sha256,
    unpack,
)

PIXELS = np.arange(6, dtype=np.uint8).reshape(2, 3)


def write_picture(folder, name, pixels=PIXELS):
    folder.mkdir(exist_ok=True)
    cv2.imwrite(str(folder / name), pixels)


def test_hash_is_of_the_shape_and_the_grey_values():
    """The hash covers rows and columns as little-endian uint32, then the grey values."""
    content = bytes([2, 0, 0, 0, 3, 0, 0, 0, 0, 1, 2, 3, 4, 5])
    assert to_pixel_sha256(PIXELS) == hashlib.sha256(content).hexdigest()
    assert to_pixel_sha256(PIXELS) != to_pixel_sha256(PIXELS.reshape(3, 2))


def test_committed_table_names_801_images_with_their_outlines():
    """The table has 801 images, and for each its outline."""
    names = set(load_pixel_table())
    images = {name for name in names if not name.endswith("_Annotation.png")}
    assert len(images) == 801
    assert names - images == {name.replace(".png", "_Annotation.png") for name in images}


def test_check_distinguishes_same_different_missing_and_unlisted_pictures(tmp_path):
    """Each file name is in exactly one list."""
    for name in ("000_HC.png", "001_HC.png", "003_HC.png"):
        write_picture(tmp_path / hc18.IMAGE_FOLDER, name)
    right, wrong = to_pixel_sha256(PIXELS), to_pixel_sha256(PIXELS + np.uint8(1))
    expected = {"000_HC.png": right, "001_HC.png": wrong, "002_HC.png": right}
    check = check_pixels(tmp_path, expected)
    assert (check.same, check.different) == (["000_HC.png"], ["001_HC.png"])
    assert (check.missing, check.not_used) == (["002_HC.png"], ["003_HC.png"])
    assert not check.is_complete
    assert check_pixels(tmp_path, {"000_HC.png": right}).is_complete


def test_unpacking_writes_nothing_outside_its_folder(tmp_path):
    """A member with an upward path is written inside the folder; other files are skipped."""
    archive_path = tmp_path / "a.zip"
    with zipfile.ZipFile(archive_path, "w") as archive:
        for name in (
            "training_set/000_HC.png",
            "../../001_2HC.png",
            "../evil.py",
            "/x/._000_HC.png",
        ):
            archive.writestr(name, b"content")
    (tmp_path / "in").mkdir()
    unpack(archive_path, tmp_path / "in" / "deep")
    found = sorted(
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()
    )
    assert found == ["a.zip", "in/deep/000_HC.png", "in/deep/001_2HC.png"]


def test_download_writes_both_files_and_refuses_an_existing_folder(tmp_path):
    """Archive and table become HC18's folder, and no temporary files remain."""
    record, data_dir = tmp_path / "record", tmp_path / "hc18"
    write_picture(record, "000_HC.png")
    with zipfile.ZipFile(record / ARCHIVE_NAME, "w") as archive:
        archive.write(record / "000_HC.png", "training_set/000_HC.png")
    (record / hc18.TABLE_NAME).write_text(
        "filename,pixel size(mm),head circumference (mm)\n000_HC.png,0.1,44.3\n"
    )
    download(data_dir, record_url=record.as_uri())
    assert {path.name for path in data_dir.iterdir()} == {hc18.IMAGE_FOLDER, hc18.TABLE_NAME}
    (image,) = hc18.load_images(data_dir)
    assert (hc18.load_pixels(image.path) == PIXELS).all()
    with pytest.raises(FileExistsError, match="verify"):
        download(data_dir, record_url=record.as_uri())


@pytest.mark.slow
def test_hc18_matches_the_committed_table(hc18_dir):
    """`verify` finds all 801 images and outlines with the committed pixels."""
    assert main(["verify", "--data", str(hc18_dir)]) == 0
