"""A worker process, as its supervisor sees it."""

import errno
import logging
import multiprocessing.util
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import inf
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess
from socket import socket
from threading import Timer
from time import monotonic

from uvicorn._subprocess import subprocess_started
from uvicorn.config import Config
from uvicorn.supervisors.multiprocess import Process

from api.config.settings import export_env

_START_SECONDS = 60
# A signal for the process group must not end the fork server, or a worker before its supervisor stops it.
_HELD = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM}
_UNAVAILABLE = {errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_PING, _SPREAD = b"ping", b"spread"
_FORK_SERVER_DIED = 255


class WorkerCannotStartError(Exception):
    """The fork server or a worker cannot start, for lack of a resource of the machine."""


def fork_server(driver: str) -> ForkServerContext:
    """Return the context that starts workers. The fork server imports their modules, and the driver of the database."""
    # Otherwise, the fork server imports modules of the current folder first.
    export_env("PYTHONSAFEPATH", "1")
    # CPython 3.11.0 otherwise lets all users of the machine connect to the fork server (CVE-2022-42919).
    multiprocessing.util.abstract_sockets_supported = False  # type: ignore[misc]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([driver, "api.server.worker_modules"])
    return context


class Worker(Process):
    """uvicorn's worker process, with health checks that do not block.

    `generation` is the number of SIGHUPs before its start. A retired worker must exit before `deadline`. The
    constructor and `start` raise WorkerCannotStartError.
    """

    def __init__(self, config: Config, sockets: list[socket], generation: int, context: ForkServerContext) -> None:
        with _start_errors():
            super().__init__(config, sockets)
        arguments = {"config": config, "target": self.target, "sockets": sockets, "stdin_fileno": None}
        self.process: ForkServerProcess = context.Process(target=subprocess_started, kwargs=arguments)  # type: ignore[assignment]
        self.generation = generation
        self.deadline = inf
        self.serves = False
        self.has_died = False
        self._question = _PING
        self._asked_at: float | None = None
        self._has_answered = False
        self._start_ends = monotonic() + _START_SECONDS

    def start(self) -> None:
        """Start the process."""
        watchdog = Timer(_START_SECONDS, _kill_fork_server)
        try:
            with _start_errors():
                watchdog.start()
                # `multiprocessing` unblocks signals when it starts this process.
                resource_tracker.ensure_running()
                # The fork server and the worker inherit the mask.
                signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
                super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
            watchdog.cancel()
        # Close our copy of the worker's pipe end, or we never see EOF when the worker dies.
        self.child_conn.close()

    def end(self) -> None:
        """Kill the worker and wait for its end."""
        self.kill()
        self.join()
        self.has_died = True

    def kill(self) -> None:
        super().kill()
        if self.exitcode == _FORK_SERVER_DIED and self.pid is not None:
            # The worker may live, and `multiprocessing` sends it no signal.
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def target(self, sockets: list[socket] | None = None) -> None:
        """Serve, in the worker."""
        # A signal that the mask has held ends the worker now. Once it serves, the server handles both.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            super().target(sockets)
        finally:
            # A forked process calls no exit handlers.
            logging.shutdown()

    def is_well(self, patience: float) -> bool:
        """Return True if the worker lives and answers each check within `patience` seconds. Begin a check.

        A worker may take a minute until its first answer, and until it serves.
        """
        if not self.process.is_alive():
            return False
        try:
            while self.parent_conn.poll():
                self.serves = self.parent_conn.recv()
                self._asked_at, self._has_answered = None, True
            if self._asked_at is None:
                self.parent_conn.send(self._question)
                self._question, self._asked_at = _PING, monotonic()
        except (OSError, EOFError):
            return False
        now = monotonic()
        answers = not self._has_answered or now < self._asked_at + patience
        return answers and (self.serves or now < self._start_ends)

    def spread_connections(self) -> None:
        """With the next health check, ask the worker to end its connections, so that their clients connect anew."""
        self._question = _SPREAD

    def pong(self) -> None:
        """Answer a health check, in the worker."""
        if self.child_conn.recv() == _SPREAD:
            for connection in [*self.server.server_state.connections]:
                connection.end_soon()  # type: ignore[union-attr]
        self.child_conn.send(self.server.started)


@contextmanager
def _start_errors() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError, RuntimeError) as error:
        raise WorkerCannotStartError(f"a worker cannot start: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the fork server has ended."
    if isinstance(error, OSError) and error.errno not in _UNAVAILABLE:
        hint = "It needs a writable folder for temporary files, with a path of at most 70 characters: set TMPDIR."
        return f"{error}. {hint}"
    return f"{error}."


def _kill_fork_server() -> None:
    """End the wait for a fork server that hangs. The next start of a worker starts another one."""
    process: int | None = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    if process is not None:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
