"""Measure files in a child process, so that a file that crashes it costs one row and not the run.

Decoders are native code: a damaged or malicious file may crash the process that reads it, and the
system may kill it when memory runs out. The process is started again, and the file's row says why.
"""

import multiprocessing
import os
import pickle
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from headcirc.batch.files import CRASHED, REMEDY, Measure, Measured
from headcirc.batch.model_identity import ModelIdentity
from headcirc.batch.stated import StatedFacts
from headcirc.errors import BackendUnavailableError, HeadCircumferenceError, InputError

Load = Callable[[], tuple[Measure, ModelIdentity]]
"""Loads a model and returns the function that measures with it; it must be picklable."""
DEATH_S = 10.0
"""Time for a process to end after its connection has closed."""
STOPPED = "the run was stopped"
DRAW = "draw"
"""Requests the overlay of the last measurement; every other request is a file's content and
what is stated about it."""


class ProcessDiedError(Exception):
    """The child process ended during a request; the message says how."""


@dataclass(frozen=True)
class Answer:
    """The child process's reply: a value, or the error that it raised."""

    value: Any = None
    error: Exception | None = None


class MeasuringProcess:
    """Measures one file after another in a child process, and replaces one that died.

    A file that ends a new process is at fault. A file that ends an older process is tried once more
    in a new one, because an earlier file may have damaged the old process's memory.

    Parameters
    ----------
    load : callable
        Runs in the child process.

    Attributes
    ----------
    model : ModelIdentity
        The model that `load` loaded.

    Raises
    ------
    HeadCircumferenceError
        `load` raised it, or the process died while it loaded.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._is_fresh = True
        self._is_closed = False
        self._start()

    def __call__(self, content: bytes, stated: StatedFacts) -> Measured:
        """Measure one file.

        Raises
        ------
        InputError
            The file cannot be measured, or it crashed the process.
        """
        while True:
            if self._is_closed:  # by another thread, perhaps in the middle of a request
                raise InputError(STOPPED)
            if not self._process.is_alive():
                self._start()
            is_first = self._is_fresh
            self._is_fresh = False
            try:
                row, answer = self._ask((content, stated))
            except ProcessDiedError as error:
                if is_first:
                    raise InputError(f"{CRASHED}: {error}; {REMEDY}") from error
            else:
                return Measured(row, self._draw_overlay, answer)

    def _draw_overlay(self) -> bytes:
        try:
            picture: bytes = self._ask(DRAW)
        except ProcessDiedError as error:
            raise InputError(f"{CRASHED}: {error}") from error
        return picture

    def _start(self) -> None:
        spawning = multiprocessing.get_context("spawn")  # a fork of threads may hang
        self._connection, there = spawning.Pipe()
        self._process = spawning.Process(target=_work, args=(there, self._load), daemon=True)
        with _without_interrupts():
            self._process.start()
        there.close()
        self._is_fresh = True
        try:
            self.model: ModelIdentity = self._receive()
        except ProcessDiedError as error:
            raise BackendUnavailableError(
                f"While the model was loaded, {error}; try another --backend."
            ) from error
        except HeadCircumferenceError:
            self.close()
            raise

    def _ask(self, request: object) -> Any:
        try:
            self._connection.send(request)
        except OSError as error:
            raise ProcessDiedError(self._to_cause()) from error
        return self._receive()

    def _receive(self) -> Any:
        """Return the process's reply, or raise its error."""
        try:
            answer: Answer = self._connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise ProcessDiedError(self._to_cause()) from error
        if answer.error is not None:
            raise answer.error
        return answer.value

    def _to_cause(self) -> str:
        self._connection.close()
        self._process.join(DEATH_S)
        self._process.kill()  # if only its connection broke
        self._process.join()
        code = self._process.exitcode or 0
        name = signal.Signals(-code).name if code < 0 else f"with status {code}"
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        return f"the process that measures was ended by {name}{hint}"

    def close(self) -> None:
        """Kill the process; it writes no files. Later calls raise `InputError`."""
        self._is_closed = True
        self._connection.close()
        self._process.kill()
        self._process.join()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block Ctrl-C; a process that is started meanwhile never gets it, and its parent ends it."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _work(connection: Connection, load: Load) -> None:
    """Load the model, then answer requests until the parent closes the connection or ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))  # a core file would hold patients' images
    measured: Measured | None = None
    try:
        measure, model = load()
        connection.send(Answer(model))
        while True:
            request = connection.recv()
            try:
                if request == DRAW:
                    assert measured is not None, "an overlay follows a measurement"
                    answer = Answer(measured.draw_overlay())
                else:
                    measured = measure(*request)
                    answer = Answer((measured.row, measured.answer))
            except HeadCircumferenceError as error:
                answer = Answer(error=error)
            except Exception as error:  # costs one row, like a crash
                answer = Answer(error=InputError(f"{CRASHED}: {type(error).__name__}; {REMEDY}"))
            connection.send(answer)
    except HeadCircumferenceError as error:  # of `load`
        connection.send(Answer(error=error))
    except (EOFError, OSError):
        pass
    os._exit(0)  # native runtimes are not torn down
