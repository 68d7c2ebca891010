"""A supervisor that keeps a fixed number of worker processes serving on one socket."""

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

from api.config import Config
from api.runtime.shutdown import SHUTDOWN_TIMEOUT
from api.server import connexion_import
from api.server.uvicorn_server import application, uvicorn_config

# After the shutdown timeout, a worker still ends its threads, which may be computing a hash.
_LAST_SECONDS = SHUTDOWN_TIMEOUT + 2

_log = logging.getLogger("charter.workers")


class Supervisor(Multiprocess):
    """uvicorn's supervisor, with Charter's timeouts and log lines.

    Workers that die or hang are replaced. On SIGHUP, all workers are replaced one by one. On SIGTERM, all are stopped.
    """

    def __init__(self, config: Config, listener: socket) -> None:
        super().__init__(uvicorn_config(partial(_worker, config), config.workers), [listener])
        self._patience = config.drain_seconds + _LAST_SECONDS

    def has_failed(self) -> bool:
        """Return True if a worker failed to start, because then no other worker can start either."""
        return any(process.exitcode == STARTUP_FAILURE for process in self.processes)

    def keep_subprocess_alive(self) -> None:
        before = list(self.processes)
        for process in before:
            # Close our copy of the worker's pipe end, or we never see EOF when the worker dies during a health check.
            process.child_conn.close()
        super().keep_subprocess_alive()
        for old, new in zip(before, self.processes, strict=True):
            if new is not old:
                facts = {"died": old.pid, "exit_code": old.exitcode, "replaced_by": new.pid}
                _log.error("worker_died", extra={"facts": facts})

    def join_all(self) -> None:
        """Wait until all workers have exited, and kill those that exceed the deadline."""
        deadline = monotonic() + self._patience
        for process in self.processes:
            process.process.join(max(0, deadline - monotonic()))
            if process.exitcode is None:
                _log.error("worker_killed", extra={"facts": {"worker": process.pid}})
                process.process.kill()
        super().join_all()


def _worker(config: Config) -> ASGIApp:
    """Return the application of a worker. The worker exits when its supervisor does."""
    Thread(target=_exit_with_supervisor, daemon=True).start()
    connexion_import.import_connexion()
    try:
        return application(config)
    except Exception as error:
        _log.critical("worker_cannot_start", exc_info=error)
        sys.exit(STARTUP_FAILURE)


def _exit_with_supervisor() -> None:
    # `join` returns when the supervisor's end of a pipe closes. A new supervisor will need the port.
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)
