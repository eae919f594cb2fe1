"""The worker process: measures images and delivers reports, until its input ends.

The gateway starts it and writes a line to its input for every image that came. When the gateway
ends, in whatever way, the input ends, and so does the worker.
"""

import logging
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from headcirc.client import HeadcircClient, RetryPolicy
from headcirc.gateway.allocator import return_freed_memory
from headcirc.gateway.delivery import Sender, open_sender
from headcirc.gateway.measuring import (
    LaterError,
    LocalMeasurer,
    Measurer,
    NeverError,
    RemoteMeasurer,
    measure_image,
)
from headcirc.gateway.queue import Queue
from headcirc.gateway.settings import GatewaySettings, Measuring, load_settings

logger = logging.getLogger("headcirc.gateway")
LONGEST_WAIT_S = 30.0
"""A loop looks for work at least as often, whatever it was told."""
SHORTEST_WAIT_S, FAILURE_WAIT_S = 0.05, 5.0
DELIVERIES_AT_ONCE = 50
QUICK = RetryPolicy(most_attempts=3, deadline_s=60.0)
"""Limit of one request; after that the image waits in the queue, where it survives a restart."""
FAILED, MISSING, DISK = "internal-error", "file-missing", "disk-error"


class Worker:
    """The loops of the worker process.

    Parameters
    ----------
    settings : GatewaySettings
    queue : Queue
    measurer : Measurer
    senders : dict
        Name of a destination to its sender.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        queue: Queue,
        measurer: Measurer,
        senders: dict[str, Sender],
    ) -> None:
        self._settings, self._queue = settings, queue
        self._measurer, self._senders = measurer, senders
        self._kinds = tuple(
            dict.fromkeys(kind for each in settings.destination for kind in each.reports)
        )
        self._has_images = threading.Event()
        self._has_reports = {name: threading.Event() for name in senders}

    def start(self) -> None:
        """Run a thread that measures, and one for each destination."""
        wait_s = self._queue.next_image_due_s
        loops = [(self.measure_next, self._has_images, wait_s)]
        for name, event in self._has_reports.items():
            loops.append(
                (
                    lambda name=name: self.deliver_next(name),  # type: ignore[misc]
                    event,
                    lambda name=name: self._queue.next_delivery_due_s(name),  # type: ignore[misc]
                )
            )
        for loop in loops:
            threading.Thread(target=_repeat, args=loop, daemon=True).start()

    def wake(self) -> None:
        """Look for images now."""
        self._has_images.set()

    def measure_next(self) -> bool:
        """Measure the next image that is due; return whether there was one."""
        image = self._queue.next_image()
        if image is None:
            return False
        try:
            made = measure_image(
                image.path,
                self._measurer,
                kinds=self._kinds,
                cine_frames=self._settings.measuring.cine_frames,
            )
        except NeverError as error:
            self._queue.bury_image(image, str(error))
        except LaterError as error:
            self._queue.postpone_image(image, str(error))
        except FileNotFoundError:
            self._queue.bury_image(image, MISSING)
        except OSError:
            self._queue.postpone_image(image, DISK)
        except Exception as error:
            # The message may quote the header. It counts as a crash, so that it ends.
            logger.error("an image was not measured: %s", type(error).__name__)
            self._queue.postpone_image(image, FAILED, is_crash=True)
        else:
            reports = [
                (each.name, made.reports[kind])
                for each in self._settings.destination
                for kind in each.reports
                if kind in made.reports
            ]
            try:
                self._queue.finish_image(image, reports, note=" ".join(made.notes))
            except (OSError, sqlite3.Error):  # a full disk must not count as a crash
                self._queue.postpone_image(image, DISK)
                raise
            for event in self._has_reports.values():
                event.set()
        return True

    def deliver_next(self, destination: str) -> bool:
        """Deliver what is due for a destination; return whether there was something."""
        deliveries = self._queue.next_deliveries(destination, DELIVERIES_AT_ONCE)
        if not deliveries:
            return False
        for delivery, failure in self._senders[destination].send(deliveries):
            if failure:
                self._queue.postpone_delivery(delivery, failure)
            else:
                self._queue.finish_delivery(delivery)
        return True


def _repeat(
    work: Callable[[], bool], event: threading.Event, find_wait_s: Callable[[], float | None]
) -> None:
    """Work while there is work; otherwise wait until something is due or the event is set."""
    while True:
        try:
            event.clear()
            if work():
                continue
            wait_s = find_wait_s()
        except Exception as error:  # such as a full disk: the queue is as it was before
            logger.error("the worker failed: %s", type(error).__name__)
            wait_s = FAILURE_WAIT_S
        longest_s = LONGEST_WAIT_S if wait_s is None else min(wait_s, LONGEST_WAIT_S)
        event.wait(max(longest_s, SHORTEST_WAIT_S))


def open_measurer(measuring: Measuring) -> Measurer:
    """Return who measures: a service, or a model that is loaded here.

    Raises
    ------
    OSError, ValueError
        The key cannot be read or used.
    HeadCircumferenceError
        The model cannot be loaded.
    """
    if not measuring.server:
        from headcirc.pipeline import load_pipeline  # a service measures without it, in less memory

        return LocalMeasurer(load_pipeline(site_file=measuring.site_file))
    path = measuring.api_key_file
    key = None if path is None else path.read_text().strip()
    return RemoteMeasurer(HeadcircClient(measuring.server, api_key=key, retries=QUICK))


def follow(lines: TextIO, worker: Worker) -> None:
    """Wake the worker at every line; return when the input ends."""
    for _ in lines:
        worker.wake()


def main() -> None:
    """Run until the input ends."""
    return_freed_memory()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses of results
    settings = load_settings(Path(sys.argv[1]))
    queue = Queue(settings.queue, settings.retries)
    ae_title = settings.listener.ae_title
    senders = {each.name: open_sender(each, ae_title) for each in settings.destination}
    worker = Worker(settings, queue, open_measurer(settings.measuring), senders)
    worker.start()
    follow(sys.stdin, worker)
    os._exit(0)  # what is at work is done again after the next start


if __name__ == "__main__":
    main()
