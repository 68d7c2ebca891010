"""The `charter` command in a process of its own, with an environment of its own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic, sleep
from typing import Any

import httpx

from api.config import Config
from tests.support.fork_server import ForkedProcess
from tests.support.paths import BIN
from tests.support.patience import PATIENCE_SECONDS

COMMAND = BIN / "charter"
SECRET, PEPPER = bytes(range(32)).hex(), bytes(range(32, 64)).hex()
SECRETS = {"CHARTER_SECRET": SECRET, "CHARTER_PEPPER": PEPPER}
GREETING = """\
API            {0}
Documentation  {0}/docs
Contract       {0}/openapi.json
Mail           {2}
Try it         curl {0}/ready
"""
UNIX_GREETING = """\
API            {0}
Documentation  /docs
Contract       /openapi.json
Mail           {2}
Try it         curl --unix-socket {1} http://localhost/ready
"""


Start = Callable[..., subprocess.Popen[Any] | ForkedProcess]

start: Start = subprocess.Popen
"""Starts the command of this environment. Most tests replace it with a fork server."""


@dataclass
class Server:
    """A running `charter serve`."""

    process: subprocess.Popen[Any] | ForkedProcess
    url: str
    log: Path
    mail: str
    """Where mails go, as the greeting names it."""

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the process to exit, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE_SECONDS)


def workers(server: Server) -> list[int]:
    """Return the process ids of the workers, oldest first."""
    return [worker for process in fork_servers(server) for worker in _children(process)]


def fork_servers(server: Server) -> list[int]:
    """Return the process ids of the fork server, whose children are the workers."""
    return [child for child in _children(server.process.pid) if b"forkserver" in _command_line(child)]


def _children(process: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


def _command_line(process: int) -> bytes:
    # The process may have exited since the listing.
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


# The listener, both ends of the supervisor's pipe, and two of the event loop. The next one leads to PostgreSQL.
_SOCKETS = 5


def serves(worker: int) -> bool:
    """Return True if the worker has opened the database, which it does just before it serves."""
    with suppress(FileNotFoundError):
        links = [str(link.readlink()) for link in Path(f"/proc/{worker}/fd").iterdir()]
        return any("charter.db" in link for link in links) or sum("socket:" in link for link in links) > _SOCKETS
    return False


NO_LIMITS = ",".join(
    f"{policy}=off"
    for policy in (
        *("requestEmailChange.user", "requestEmailChange.recipient"),
        *("confirmEmailChange.address", "revertEmailChange.address"),
        *("changePassword.user", "logIn.account", "logIn.account-hour", "logIn.address"),
        *("logInBrowser.account", "logInBrowser.account-hour", "logInBrowser.address"),
        *("refreshBrowser.address", "logOutBrowser.address"),
        *("refreshTokens.address", "signUp.address", "signUp.recipient", "stepUp.user"),
        *("completeSignUp.address", "requestEmailVerification.user", "verifyEmail.address"),
        *("requestSignUp.address", "requestSignUp.recipient", "requestSignUp.recipient-day"),
        *("requestPasswordReset.address", "requestPasswordReset.recipient", "resetPassword.address"),
        *("exportData.user", "requestDeletion.user", "restoreAccount.address", "updateProfile.user"),
        *("createUser.user", "inviteUser.user", "sendPasswordReset.user"),
        *("createApiKey.user", "updateApiKey.user", "revokeToken.address"),
    )
)
"""No rate limits, without the warning that `off` alone causes. Most tests log in often, from the same address."""


@dataclass
class Charter:
    """An installation: the command, run in `folder` with these settings, a free port, cheap hashes and no limits."""

    folder: Path
    settings: dict[str, str]
    command: Path = COMMAND

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def environment(self) -> dict[str, str]:
        given = {"CHARTER_PORT": "0", "CHARTER_BCRYPT_COST": "10"}
        # The last release rejects the setting, because it does not know it.
        limits = {"CHARTER_RATE_LIMITS": NO_LIMITS} if self.command == COMMAND else {}
        return {"PATH": os.defpath} | given | limits | self.settings

    def run_python(self, program: str, *arguments: str) -> str:
        """Run a Python program with the settings and arguments of a command, and return its output."""
        result = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            check=True,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        return result.stdout

    def run(self, *arguments: str, typed: bytes = b"") -> subprocess.CompletedProcess[str]:
        """Run a command with this standard input until it exits, and return its exit code, output and errors."""
        with TemporaryFile() as stdin, TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
            stdin.write(typed)
            stdin.seek(0)
            with self._start(*arguments, stdin=stdin, stdout=stdout, stderr=stderr) as process:
                try:
                    code = process.wait(timeout=PATIENCE_SECONDS)
                finally:
                    process.kill()
            stdout.seek(0)
            stderr.seek(0)
            return subprocess.CompletedProcess([self.command, *arguments], code, stdout.read(), stderr.read())

    @contextmanager
    def serving(self, *options: str, terminal: int | None = None) -> Iterator[Server]:
        """Run a server until the block ends, and kill it then. Its log goes to a file or to a terminal."""
        log = self.folder / "log"
        readable, writable = os.pipe()
        with os.fdopen(readable) as stdout:
            with log.open("a") as file, os.fdopen(writable, "w") as written, Path(os.devnull).open() as nothing:
                process = self._start("serve", *options, stdin=nothing, stdout=written, stderr=terminal or file)
            with process:
                try:
                    greeting = "".join(stdout.readline() for _ in range(len(GREETING.splitlines())))
                    url = greeting.partition("API            ")[2].partition("\n")[0]
                    mail = greeting.partition("Mail           ")[2].partition("\n")[0]
                    expected = (UNIX_GREETING if url.startswith("unix:") else GREETING).format(url, url[5:], mail)
                    assert greeting == expected, log.read_text()
                    yield Server(process, url, log, mail)
                finally:
                    process.kill()

    def _start(self, *arguments: str, **streams: Any) -> subprocess.Popen[Any] | ForkedProcess:
        # A fork server has imported the modules of this environment.
        is_ours = self.command == COMMAND and "PYTHONPATH" not in self.settings
        launch: Start = start if is_ours else subprocess.Popen
        return launch([self.command, *arguments], cwd=self.folder, env=self.environment, **streams)


def beside(config: Config, smtp_port: int = 0) -> Charter:
    """Return the command with the database and the secrets of these settings, run in their data folder.

    Mails are sent to this port of 127.0.0.1, if it is not 0.
    """
    url = config.database_url.render_as_string(hide_password=False)
    secrets = {"CHARTER_SECRET": config.secret.hex(), "CHARTER_PEPPER": config.pepper.hex()}
    mail = {"CHARTER_SMTP_URL": f"smtp://127.0.0.1:{smtp_port}", "CHARTER_MAIL_FROM": "no-reply@example.com"}
    return Charter(config.data_dir, {"DATABASE_URL": url} | secrets | (mail if smtp_port else {}))


def free_port() -> int:
    """Return a port on which no process listens yet."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def is_ready(url: str) -> bool:
    """Return True if the service at this URL reports that it is ready."""
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/ready").status_code == 200
    return False


def until(found: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> float:
    """Wait until the condition is true, and return the seconds that it took."""
    began = monotonic()
    while not found():
        assert monotonic() < began + seconds, f"the condition is still false after {seconds} seconds"
        sleep(0.02)
    return monotonic() - began
