"""Several processes that serve on one socket, and the one that sees to it that there are as many as there should be."""

import logging
import multiprocessing
import os
import signal
import sys
from functools import partial
from socket import socket
from threading import Thread
from time import monotonic

from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from api import lean
from api.config import Config
from api.server import application, uvicorn_config
from api.stopping import STOP_SECONDS

# After what it was told, a worker ends its threads, which may be in the middle of a hash.
_LAST_SECONDS = STOP_SECONDS + 2

_log = logging.getLogger("charter.workers")


class Supervisor(Multiprocess):
    """uvicorn's: replaces who dies or hangs, on SIGHUP one after the other, and ends all of them on SIGTERM."""

    def __init__(self, config: Config, listener: socket) -> None:
        super().__init__(uvicorn_config(partial(_worker, config), config.workers), [listener])
        self._patience = config.drain_seconds + _LAST_SECONDS

    def has_failed(self) -> bool:
        """Whether a worker could not start: then no other could."""
        return any(process.exitcode == STARTUP_FAILURE for process in self.processes)

    def keep_subprocess_alive(self) -> None:
        before = list(self.processes)
        for process in before:
            # Who holds the worker's end of the pipe, too, does not hear that it died before it answered.
            process.child_conn.close()
        super().keep_subprocess_alive()
        for old, new in zip(before, self.processes, strict=True):
            if new is not old:
                facts = {"died": old.pid, "exit_code": old.exitcode, "replaced_by": new.pid}
                _log.error("worker_died", extra={"facts": facts})

    def join_all(self) -> None:
        """Wait for the end of all; who does not come to it is ended."""
        deadline = monotonic() + self._patience
        for process in self.processes:
            process.process.join(max(0, deadline - monotonic()))
            if process.exitcode is None:
                _log.error("worker_killed", extra={"facts": {"worker": process.pid}})
                process.process.kill()
        super().join_all()


def _worker(config: Config) -> ASGIApp:
    """What a worker serves, for as long as its supervisor lives."""
    Thread(target=_go_with_supervisor, daemon=True).start()
    lean.import_connexion()
    try:
        return application(config)
    except Exception as error:
        _log.critical("worker_cannot_start", exc_info=error)
        sys.exit(STARTUP_FAILURE)


def _go_with_supervisor() -> None:
    # Whoever started it is there as long as it holds its end of a pipe; a new supervisor will want the port.
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)
