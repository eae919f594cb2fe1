"""Work on the next items while the results of earlier ones are used, in order and in few threads.

Decoding, the network and native libraries release Python's lock, so that threads overlap them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int
) -> Iterator[Result]:
    """Yield the result of each item, in the order of the items.

    As many items as there are threads are at work or wait to be taken, so that memory stays flat
    however slowly the results are used. Work that raises raises here, in its turn.

    Parameters
    ----------
    work : callable
        Called from several threads; with one thread, from the caller's own, one item after the
        other.
    items : iterable
        Read in the caller's thread, at most `threads` items ahead.
    threads : int
        At least 1.

    Yields
    ------
    The results.
    """
    if threads == 1:
        yield from map(work, items)
        return
    left = iter(items)
    pool = ThreadPoolExecutor(threads, "ahead")
    pending: deque[Future[Result]] = deque()
    try:
        pending.extend(pool.submit(work, each) for each in islice(left, threads))
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(work, each) for each in islice(left, 1))
            yield result
    finally:  # not waiting: whoever stops early may have to end the work in another way
        pool.shutdown(wait=False, cancel_futures=True)
