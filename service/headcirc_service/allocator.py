"""Keep memory that one request frees for the next one.

By default glibc returns the larger arrays of a picture to the kernel when they are freed, and asks
for them again, page by page, for the next request. Whether it does so depends on the largest array
that was freed before, and therefore on the runtime: OpenVINO frees more than ONNX Runtime when it
starts. `tests/service/test_allocator.py` counts the page faults. Other C libraries are not changed.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Constants of glibc's `malloc.h`."""
KEPT_BYTES = 32 * 2**20
"""Most free memory that the heap of each thread keeps; a request of 800x540 pixels needs less."""
LARGE_BYTES = 8 * 2**20
"""Arrays of this size or more are returned to the kernel, so that a large picture does not hold
memory afterwards. The probabilities of a frame of two million pixels take as much."""


def keep_freed_memory() -> bool:
    """Set the limits of glibc's allocator; return whether the C library is glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return all(
        mallopt(name, size_bytes) == 1
        for name, size_bytes in ((M_MMAP_THRESHOLD, LARGE_BYTES), (M_TRIM_THRESHOLD, KEPT_BYTES))
    )
