"""Give memory that an image took back to the system, so that a long cine leaves the worker small.

By default glibc keeps freed arrays for later, in an arena for each thread. Other C libraries are
not changed.
"""

import ctypes
import sys

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""Constants of glibc's `malloc.h`."""
LARGE_BYTES = 256 * 2**10
"""Arrays of this size or more go back when they are freed; a frame is larger."""


def return_freed_memory() -> bool:
    """Set the limits of glibc's allocator; return whether the C library is glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return all(
        mallopt(name, value) == 1
        for name, value in ((M_MMAP_THRESHOLD, LARGE_BYTES), (M_ARENA_MAX, 1))
    )
