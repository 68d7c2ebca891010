"""A service under test: a process, with its children, on cores of its own."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter, sleep

CORE = 0
_PATIENCE = 30


@dataclass(frozen=True)
class Service:
    """A process that serves on 127.0.0.1, and the seconds from its start to its first response."""

    pid: int
    port: int
    seconds: float

    @property
    def resident(self) -> float:
        """The memory in MB of the largest process. Any other process only supervises it."""
        statuses = [Path(f"/proc/{pid}/status").read_text() for pid in self._pids]
        return max(int(status.partition("VmRSS:")[2].split()[0]) for status in statuses) * 1024 / 1e6

    @property
    def proportional(self) -> float:
        """The memory in MB of all processes, as the sum of their proportional set sizes: a shared page counts once."""
        parts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self._pids]
        return sum(int(part.partition("\nPss:")[2].split()[0]) for part in parts) * 1024 / 1e6

    @property
    def spent(self) -> float:
        """The CPU seconds of the service."""
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self._pids]
        return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Let the service run until the block ends. A stopped service takes no time from the others on its core."""
        os.killpg(self.pid, signal.SIGCONT)
        try:
            yield
        finally:
            os.killpg(self.pid, signal.SIGSTOP)

    @property
    def _pids(self) -> list[int]:
        return _family(self.pid)


def _family(pid: int) -> list[int]:
    """Return this process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(process for child in children for process in _family(int(child)))]


def free_port() -> int:
    """Return a port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def started(
    command: list[str], folder: Path, environment: dict[str, str], port: int, cores: frozenset[int] = frozenset({CORE})
) -> Iterator[Service]:
    """Start the command and stop it after its first response to /ping. The end of the block kills it."""
    with (folder / "log").open("ab") as log:
        began = perf_counter()
        # A process group of its own, so that signals reach the children as well.
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    with process:
        try:
            # The process has only one thread yet, so all later ones inherit its cores.
            os.sched_setaffinity(process.pid, cores)
            while not answers(port):
                assert process.poll() is None, (folder / "log").read_text()
                assert perf_counter() < began + _PATIENCE, (folder / "log").read_text()
                sleep(0.002)
            service = Service(process.pid, port, perf_counter() - began)
            os.killpg(process.pid, signal.SIGSTOP)
            yield service
        finally:
            # A process that could not start has exited.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def answers(port: int) -> bool:
    """Return True if the service responds to /ping on a new connection."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
