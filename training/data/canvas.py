"""Resize frames once to canvases at twice the network's resolution, and cache them in one file.

A canvas has twice the rows and columns of the network's grid, so that augmentation can zoom and
rotate examples without a visible loss of resolution.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from headcirc.geometry import Ellipse, to_affine_image
from headcirc.network_input import to_grid_mapping
from training.data.hc18 import load_pixels, to_input_facts

MARGIN = 2
GRID = to_input_facts()
FACTS = replace(GRID, width_px=MARGIN * GRID.width_px, height_px=MARGIN * GRID.height_px)
"""The canvas's grid, with the network's pixel aspect."""


def to_canvas(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize a (rows, columns) frame and centre it on a black canvas."""
    mapping = to_grid_mapping(*pixels.shape, FACTS)
    size = (mapping.content_columns, mapping.content_rows)
    canvas = np.zeros((FACTS.height_px, FACTS.width_px), np.uint8)
    rows = slice(mapping.top, mapping.top + mapping.content_rows)
    columns = slice(mapping.left, mapping.left + mapping.content_columns)
    canvas[rows, columns] = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return canvas


def to_ellipse_on_canvas(ellipse: Ellipse, frame_shape: tuple[int, int]) -> Ellipse:
    """Map an ellipse from the pixels of a (rows, columns) frame to canvas pixels."""
    return to_affine_image(ellipse, to_grid_mapping(*frame_shape, FACTS).to_network_affine())


def load_canvases(
    paths: Sequence[Path], cache_dir: Path
) -> tuple[NDArray[np.uint8], list[tuple[int, int]]]:
    """Return the canvases of all frames, memory-mapped, and the frames' shapes.

    They are created once for a list of files and then read from the cache.

    Parameters
    ----------
    paths : sequence of Path
    cache_dir : Path
        Folder of the cache. The file name is a hash of the list and of the files' sizes.

    Returns
    -------
    canvases : (n, rows, columns) uint8
    shapes : list of (rows, columns)
    """
    listed = [[str(path.resolve()), path.stat().st_size] for path in paths]
    key = hashlib.sha256(json.dumps([FACTS.height_px, FACTS.width_px, listed]).encode()).hexdigest()
    pixels_path = cache_dir / f"canvases-{key[:16]}.npy"
    shapes_path = pixels_path.with_suffix(".json")
    if not shapes_path.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        _write_canvases(paths, pixels_path, shapes_path)
    shapes = [(rows, columns) for rows, columns in json.loads(shapes_path.read_text())]
    return np.load(pixels_path, mmap_mode="r"), shapes


def _write_canvases(paths: Sequence[Path], pixels_path: Path, shapes_path: Path) -> None:
    canvases = np.empty((len(paths), FACTS.height_px, FACTS.width_px), np.uint8)
    shapes = []
    for canvas, path in zip(canvases, tqdm(paths, "reading frames"), strict=True):
        pixels = load_pixels(path)
        canvas[:] = to_canvas(pixels)
        shapes.append(pixels.shape)
    draft = pixels_path.with_suffix(".draft.npy")
    np.save(draft, canvases)
    draft.replace(pixels_path)
    shapes_path.write_text(json.dumps(shapes))


def to_jpeg_copy(canvas: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Downsize, JPEG-compress and restore a canvas, as in the planes of other devices."""
    side_px = int(generator.integers(canvas.shape[0] * 5 // 8, canvas.shape[0] + 1))
    quality = int(generator.integers(60, 96))
    small = cv2.resize(canvas, (side_px, side_px), interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
    back = cv2.resize(decoded, canvas.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(back, np.uint8)
