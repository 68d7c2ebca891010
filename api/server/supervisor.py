"""A supervisor that keeps a fixed number of worker processes serving on one socket."""

import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import sys
from functools import partial
from threading import Thread
from time import monotonic

from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from api.config import Config
from api.runtime.shutdown import EXIT_TIMEOUT, Terminal
from api.server import connexion_import
from api.server.uvicorn_server import application, uvicorn_config
from api.server.worker import Worker, WorkerCannotStartError, fork_server

_TICK_SECONDS = 0.5
_RETRY_SECONDS = 1.0

_log = logging.getLogger("charter.workers")


class Supervisor(Multiprocess):
    """uvicorn's supervisor, with Charter's timeouts and log lines.

    Workers that die or hang are replaced. On SIGHUP, all workers are replaced one by one. On SIGTERM, all are stopped.
    A signal takes effect at once, because only the start of a worker blocks, until the fork server has forked. If the
    machine lacks a resource for a new worker, the others go on.
    """

    processes: list[Worker]  # type: ignore[assignment]

    def __init__(self, config: Config, listener: socket.socket) -> None:
        super().__init__(uvicorn_config(partial(_worker, config), config.keepalive_seconds, config.workers), [listener])
        self._fork_server = fork_server(config.database_url.get_dialect().import_dbapi().__name__)
        self._patience = config.drain_seconds + EXIT_TIMEOUT
        self._terminal = Terminal()
        self._generation = 0
        self._next_start = 0.0
        self._successor: Worker | None = None
        self._retired: list[Worker] = []
        # The interpreter writes a byte for each signal.
        self._signals, self._wakeup = socket.socketpair()
        for end in (self._signals, self._wakeup):
            end.setblocking(False)

    def has_failed(self) -> bool:
        """Return True if a worker failed to start, because then no other worker can start either."""
        return any(process.exitcode == STARTUP_FAILURE for process in self.processes)

    def run(self) -> None:
        signal.set_wakeup_fd(self._wakeup.fileno())
        try:
            self._supervise()
        finally:
            self._stop()
            signal.set_wakeup_fd(-1)
            self._signals.close()
            self._wakeup.close()

    def _supervise(self) -> None:
        """Keep the workers alive until the service stops. Raises WorkerCannotStartError if one of the first cannot."""
        self.init_processes()
        while not self.should_exit.is_set():
            self._wait(_TICK_SECONDS)
            self.handle_signals()
            self._reap()
            self.keep_subprocess_alive()
            self._replace_outdated()

    def init_processes(self) -> None:
        for _ in range(self.processes_num):
            self.processes.append(self._started())

    def keep_subprocess_alive(self) -> None:
        for index, old in enumerate(self.processes):
            if not old.has_died:
                if self._is_well(old):
                    continue
                old.end()
            if old.exitcode == STARTUP_FAILURE:
                self.should_exit.set()
                return
            new = self._new()
            if new is None:
                continue
            self.processes[index] = new
            facts = {"died": old.pid, "exit_code": old.exitcode, "replaced_by": new.pid}
            _log.error("worker_died", extra={"facts": facts})

    def handle_hup(self) -> None:
        if self._terminal.has_closed():
            self.handle_term()
        # Signals that arrive during a replacement need one more pass, however many they are.
        self._generation += 1

    def handle_ttin(self) -> None:
        new = self._new()
        if new is not None:
            self.processes_num += 1
            self.processes.append(new)

    def handle_ttou(self) -> None:
        if self.processes_num > 1:
            self.processes_num -= 1
            self._retire(self.processes.pop())

    def _started(self) -> Worker:
        worker = Worker(self.config, self.sockets, self._generation, self._fork_server)
        worker.start()
        return worker

    def _new(self) -> Worker | None:
        """Return a new worker, or None if the machine lacks a resource for it now."""
        if monotonic() < self._next_start:
            return None
        try:
            return self._started()
        except WorkerCannotStartError as error:
            _log.error("worker_not_started", extra={"facts": {"reason": str(error)}})
            self._next_start = monotonic() + _RETRY_SECONDS
            return None

    def _is_well(self, worker: Worker) -> bool:
        """Return True if the worker lives and answers. Once it serves, the others share their clients with it."""
        served = worker.serves
        is_well = worker.is_well(self.config.timeout_worker_healthcheck)
        if worker.serves and not served:
            for other in self.processes:
                if other is not worker:
                    other.spread_connections()
        return is_well

    def _replace_outdated(self) -> None:
        """Take the next step to replace a worker that started before the last SIGHUP: start its successor, or stop it.

        At most one worker more than configured uses the database.
        """
        oldest = min(self.processes, key=lambda worker: worker.generation)
        is_outdated = oldest.generation < self._generation
        successor = self._successor
        if successor is None:
            if is_outdated and not self._retired:
                self._successor = self._new()
        elif not self._is_well(successor):
            self._give_up(successor)
        elif successor.serves:
            self._successor = None
            if is_outdated:
                self.processes[self.processes.index(oldest)] = successor
            self._retire(oldest if is_outdated else successor)

    def _give_up(self, successor: Worker) -> None:
        """Keep the old workers, because the new one does not start."""
        _log.error("worker_not_ready", extra={"facts": {"worker": successor.pid}})
        successor.end()
        self._successor = None
        for worker in self.processes:
            worker.generation = self._generation

    def _retire(self, worker: Worker) -> None:
        """Let the worker finish its requests. `_reap` kills it at the deadline."""
        worker.terminate()
        worker.deadline = monotonic() + self._patience
        self._retired.append(worker)

    def _reap(self) -> None:
        """Kill the retired workers that exceed their deadline, and forget those that have exited."""
        for worker in self._retired:
            if worker.exitcode is None and monotonic() >= worker.deadline:
                _log.error("worker_killed", extra={"facts": {"worker": worker.pid}})
                worker.process.kill()
                worker.join()
        self._retired = [worker for worker in self._retired if worker.exitcode is None]

    def _stop(self) -> None:
        """Stop all workers. Another SIGTERM or SIGINT ends their drain period."""
        for worker in self.processes:
            self._retire(worker)
        if self._successor is not None:
            self._retire(self._successor)
        while self._retired:
            self._wait(_TICK_SECONDS)
            if {signal.SIGTERM, signal.SIGINT} & {*self.signal_queue}:
                for worker in self._retired:
                    worker.terminate()
            self.signal_queue.clear()
            self._reap()

    def _wait(self, seconds: float) -> None:
        """Wait for a signal, for the exit of a retired worker, or for this time."""
        exits = [worker.process.sentinel for worker in self._retired]
        if self._signals in multiprocessing.connection.wait([self._signals, *exits], seconds):
            self._signals.recv(4096)


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
