"""Read an image file into a frame: one upright image of 8-bit grey values.

`decode.READERS` lists the readers, one module for each format.
"""

from headcirc.readers.decode import SUFFIXES, decode_frame
from headcirc.readers.limits import DEFAULT_MAXIMUM_PIXELS

__all__ = ["DEFAULT_MAXIMUM_PIXELS", "SUFFIXES", "decode_frame"]
