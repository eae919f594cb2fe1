"""A limit on the large files that are in memory at the same time."""

from collections.abc import Iterator
from contextlib import contextmanager

from headcirc_service.errors import OverloadedError

MOST_LARGE_FILES = 4


class LargeFiles:
    """Counts files of more than a limit; further ones are refused.

    The queue holds as many files as it has places. It was sized for pictures: cines of many
    megabytes would fill the memory.

    Parameters
    ----------
    large_bytes : int
        Files up to this size do not count.
    most : int
        How many larger ones may be in memory.
    """

    def __init__(self, large_bytes: int, *, most: int = MOST_LARGE_FILES) -> None:
        self._large_bytes = large_bytes
        self._most = most
        self.count = 0

    @contextmanager
    def take(self, file_bytes: int) -> Iterator[None]:
        """Hold a place while a file is in memory.

        Raises
        ------
        OverloadedError
        """
        weight = int(file_bytes > self._large_bytes)
        if weight and self.count >= self._most:
            raise OverloadedError(
                f"{self.count} files of more than {self._large_bytes:,} bytes are being measured, "
                "which is the most that this service takes; send the request again in a second."
            )
        self.count += weight
        try:
            yield
        finally:
            self.count -= weight
