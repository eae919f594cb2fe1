"""Pass items from one thread to the next, in order, within a limit on the memory they take."""

from collections import deque
from threading import Condition
from typing import Generic, TypeVar

Item = TypeVar("Item")


class ChannelClosedError(Exception):
    """No further item is wanted, or none will come."""


class Channel(Generic[Item]):
    """A bounded queue between two threads; either may close it.

    Parameters
    ----------
    most_bytes : int
        Bytes of the items that wait; a single item may be larger.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._changed = Condition()
        self._waiting: deque[tuple[Item, int]] = deque()
        self._bytes = 0
        self._has_ended = False
        self._is_stopped = False

    def put(self, item: Item, size_bytes: int) -> None:
        """Add an item; wait while there is no room.

        Raises
        ------
        ChannelClosedError
            The channel was stopped.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped or self._has_room(size_bytes))
            if self._is_stopped:
                raise ChannelClosedError
            self._waiting.append((item, size_bytes))
            self._bytes += size_bytes
            self._changed.notify_all()

    def _has_room(self, size_bytes: int) -> bool:
        return not self._waiting or self._bytes + size_bytes <= self._most_bytes

    def take(self, most: int = 1) -> list[Item]:
        """Wait for an item; return it, and those behind it that are there already.

        Parameters
        ----------
        most : int
            Items that are returned at most.

        Raises
        ------
        ChannelClosedError
            The channel was stopped, or it has ended and is empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped or self._waiting or self._has_ended)
            if self._is_stopped or not self._waiting:
                raise ChannelClosedError
            taken: list[Item] = []
            while self._waiting and len(taken) < most:
                item, size_bytes = self._waiting.popleft()
                self._bytes -= size_bytes
                taken.append(item)
            self._changed.notify_all()
            return taken

    def end(self) -> None:
        """Say that no further item will come; those that wait can still be taken."""
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Say that no further item is wanted; those that wait are dropped."""
        with self._changed:
            self._is_stopped = True
            self._waiting.clear()
            self._changed.notify_all()
