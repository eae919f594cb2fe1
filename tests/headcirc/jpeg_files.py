"""JPEG files of all processes that are not read: lossless, arithmetic-coded, deep and rarer."""

from collections.abc import Callable

import imagecodecs
import numpy as np

SIDE_PX = 64
SOF0, SOF2 = b"\xff\xc0", b"\xff\xc2"


def make_noise(bits: int, channels: int = 1) -> np.ndarray:
    """Return samples that use all of so many bits; grey ones have no axis for channels."""
    shape = (SIDE_PX, SIDE_PX) if channels == 1 else (SIDE_PX, SIDE_PX, channels)
    kind = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(0).integers(0, 2**bits, shape, kind)


def put_frame_marker(jpeg: bytes, marker: int) -> bytes:
    """Return a JPEG that claims another process, for those that no encoder here writes."""
    old = SOF0 if SOF0 in jpeg else SOF2
    return jpeg.replace(old, bytes([0xFF, marker]), 1)


def make_rare_jpegs() -> dict[str, bytes]:
    """Return a file of each process and depth that is refused, by its name."""
    encode: Callable[..., bytes] = imagecodecs.jpeg8_encode
    usual = encode(make_noise(8))
    files = {
        f"lossless-{bits}-bits-{channels}-channels": encode(
            make_noise(bits, channels), lossless=True, bitspersample=bits
        )
        for bits in (8, 12, 16)
        for channels in (1, 3)
    }
    files |= {
        f"12-bits-{channels}-channels": encode(make_noise(12, channels), bitspersample=12)
        for channels in (1, 3)
    }
    markers = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
    files |= {f"sof-{marker - 0xC0}": put_frame_marker(usual, marker) for marker in markers}
    frame = usual.index(SOF0)
    hierarchy = b"\xff\xde" + usual[frame + 2 : frame + 13]
    files["hierarchical"] = usual[:frame] + hierarchy + usual[frame:]
    files["jpeg-ls"] = imagecodecs.jpegls_encode(make_noise(8))
    return files
