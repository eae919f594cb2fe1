"""How many pieces a file may be in: more would only keep the reader busy.

Pillow walks chunks, segments, tags and strips in Python, some microseconds each: ten megabytes of
empty ones take seconds, of one-pixel tiles a minute.
"""

import io

from headcirc.errors import ImageTooLargeError

MAXIMUM_PIECES = 50_000
"""A quarter of a second. A chunk or segment counts three; a file of 10 MB has a few thousand."""


class CountedFile(io.BytesIO):
    """A file in memory that is read in at most `MAXIMUM_PIECES` pieces."""

    _pieces = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes.

        Raises
        ------
        ImageTooLargeError
        """
        self._pieces += 1
        require_few(self._pieces)
        return super().read(size)


def require_few(pieces: int) -> None:
    """Refuse a file in more pieces than any picture needs; raises ImageTooLargeError."""
    if pieces > MAXIMUM_PIECES:
        raise ImageTooLargeError(
            f"The file is in more than {MAXIMUM_PIECES:,} pieces (chunks, segments, strips or "
            "tiles), which no picture needs. Save it again, for instance as PNG."
        )
