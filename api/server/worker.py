"""A worker process, as its supervisor sees it."""

import signal
from math import inf
from socket import socket
from time import monotonic

from uvicorn.config import Config
from uvicorn.supervisors.multiprocess import Process

_START_SECONDS = 60
_PING, _SPREAD = b"ping", b"spread"


class Worker(Process):
    """uvicorn's worker process, with health checks that do not block.

    `generation` is the number of SIGHUPs before its start. A retired worker must exit before `deadline`.
    """

    def __init__(self, config: Config, sockets: list[socket], generation: int) -> None:
        super().__init__(config, sockets)
        self.generation = generation
        self.deadline = inf
        self.serves = False
        self._question = _PING
        self._asked_at: float | None = None
        self._has_answered = False
        self._start_ends = monotonic() + _START_SECONDS

    def start(self) -> None:
        # The worker inherits the mask: a SIGHUP for the process group is for the supervisor.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        super().start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
        # Close our copy of the worker's pipe end, or we never see EOF when the worker dies.
        self.child_conn.close()

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
