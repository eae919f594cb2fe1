"""Memory that one request frees stays at hand for the next one.

By itself glibc gives the larger arrays of a picture back to the kernel as soon as they are freed,
and gets them anew, page by page, for the next one. Whether it does depends on the largest array
that was freed before, and so on the runtime: OpenVINO frees more than ONNX Runtime as it starts.
`tests/service/test_allocator.py` counts the page faults. Other C libraries are left alone.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's `malloc.h`."""
KEPT_BYTES = 32 * 2**20
"""Free memory that each thread's heap keeps at most; an 800x540 request takes less."""
LARGE_BYTES = 8 * 2**20
"""Arrays from here on come from the kernel and go back to it, so that large pictures leave no
trace: one of probabilities has as much for a frame of two million pixels."""


def keep_freed_memory() -> bool:
    """Tell glibc's allocator; return whether there is one."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return all(
        mallopt(name, size_bytes) == 1
        for name, size_bytes in ((M_MMAP_THRESHOLD, LARGE_BYTES), (M_TRIM_THRESHOLD, KEPT_BYTES))
    )
