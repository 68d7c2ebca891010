"""A fork server for the `charter` command: it imports all modules once, and forks for each start of the command.

A start then costs a few milliseconds instead of a second of imports. A forked process executes the same script with its
own arguments, folder, environment and files, and exits with its own code.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from select import select
from typing import IO, Any, NoReturn, Self

from tests.support.paths import BIN, CHECKOUT

# All modules that a command imports late, apart from those of the optional exporter.
_MODULES = (
    "alembic.command",
    "api.app",
    "api.cli.doctor",
    "api.cli.main",
    "api.server.supervisor",
    "api.server.uvicorn_server",
    "api.services.readiness",
    "api.storage.revisions",
    "psycopg",
    "sqlite3",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "uvloop",
)


class ForkedProcess:
    """A process of the fork server, with the interface of `subprocess.Popen` that the tests use."""

    def __init__(self, arguments: Sequence[str | Path], pid: int, status: IO[str]) -> None:
        self.args = arguments
        self.pid = pid
        self.returncode: int | None = None
        self._status = status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()
        self._status.close()

    def send_signal(self, number: int) -> None:
        if not self._has_exited(0):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. Raises TimeoutExpired if the process still runs after `timeout` seconds."""
        if self.returncode is None:
            if not self._has_exited(timeout):
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._status.readline())
        return self.returncode

    def _has_exited(self, timeout: float | None) -> bool:
        return self.returncode is not None or bool(select([self._status], [], [], timeout)[0])


class ForkServer:
    """A running fork server."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control

    def start(
        self, arguments: Sequence[str | Path], *, cwd: Path, env: dict[str, str], stdin: Any, stdout: Any, stderr: Any
    ) -> ForkedProcess:
        """Start the command. The first argument is its path. The three streams are files or descriptors."""
        readable, writable = os.pipe()
        files = [file if isinstance(file, int) else file.fileno() for file in (stdin, stdout, stderr)]
        request = [[str(argument) for argument in arguments], str(cwd), env]
        socket.send_fds(self._control, [json.dumps(request).encode()], [*files, writable])
        os.close(writable)
        status = os.fdopen(readable)
        return ForkedProcess(arguments, int(status.readline()), status)


@contextmanager
def forking() -> Iterator[Callable[..., ForkedProcess]]:
    """Yield a function that starts the command. Its first call starts the fork server, which stops at the end."""
    with ExitStack() as stack:
        server = cache(lambda: stack.enter_context(_running_server()))
        yield lambda arguments, **options: server().start(arguments, **options)


@contextmanager
def _running_server() -> Iterator[ForkServer]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.support.fork_server"]
    # The forked processes inherit settings of the interpreter, so these are the same as those of a real start.
    with theirs:
        process = subprocess.Popen(command, cwd=CHECKOUT, env={"PATH": os.defpath}, stdin=theirs.fileno())
    with process, ours:
        yield ForkServer(ours)
        ours.shutdown(socket.SHUT_RDWR)


_running: dict[int, int] = {}
"""The descriptor that gets the exit code of each forked process."""


def _serve() -> list[str]:
    """Fork for each request, until the client exits. Return the arguments in the forked process."""
    for name in _MODULES:
        importlib.import_module(name)
    _load_the_contract()
    # A collection in a forked process would copy the pages of all of these objects.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, _report_exits)
    control = socket.socket(fileno=os.dup(0))
    while True:
        message, files, _, _ = socket.recv_fds(control, 1 << 20, 4)
        if not message:
            sys.exit()
        arguments, folder, environment = json.loads(message)
        # The signal of a process that exits at once must not arrive before the process is registered.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        pid = os.fork()
        if not pid:
            control.close()
            _become(folder, environment, *files)
            return arguments  # type: ignore[no-any-return]
        _running[pid] = files.pop()
        os.write(_running[pid], f"{pid}\n".encode())
        for file in files:
            os.close(file)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


def _load_the_contract() -> None:
    """Parse the contract once, before the fork. The process that needs another folder parses it."""
    # Imported here, because `import_connexion` must run first.
    contract: Any = importlib.import_module("api.contract")
    shipped = importlib.import_module("api.config.paths").resource_dir("openapi")
    load, loaded = contract.load, contract.load(shipped)
    contract.load = lambda folder: loaded if folder == shipped else load(folder)


def _report_exits(*_: object) -> None:
    while _running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        report = _running.pop(pid)
        os.write(report, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os.close(report)


def _become(folder: str, environment: dict[str, str], stdin: int, stdout: int, stderr: int, status: int) -> None:
    """Give the forked process the state of a new one."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    for inherited in [status, *_running.values()]:
        os.close(inherited)
    for source, target in ((stdin, 0), (stdout, 1), (stderr, 2)):
        os.dup2(source, target)
        os.close(source)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)


def _execute(arguments: list[str]) -> NoReturn:
    """Run the script of the command like the interpreter does, and exit without deleting objects."""
    sys.argv = arguments
    sys.path[0] = str(BIN)
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            raise
        code = end.code or 0
    else:
        code = 0
    # The interpreter would also delete each object, and so copy all pages of the imported modules: 80 ms.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    # Connexion is imported without the modules that a server never uses, as a real start does.
    importlib.import_module("api.server.connexion_import").import_connexion()
    _execute(_serve())
