"""The shipped server as a process of its own, and the resources that it uses."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import URL

from api.crypto.secret import read_secret
from api.crypto.signing_keys import SigningKey
from api.services.signing_keys import Keyring
from api.storage.database import Database
from tests.support.charter import NO_LIMITS

_COMMAND = Path(sys.executable).parent / "charter"
_SETTINGS = {
    "CHARTER_ACCESS_TOKEN_SECONDS": "3600",
    "CHARTER_BCRYPT_COST": "10",
    "CHARTER_CHECK_ANSWERS": "report",
    # Stalled clients are cut within 15 seconds, so idle connections must not live longer.
    "CHARTER_KEEPALIVE_SECONDS": "5",
    "CHARTER_LOG_FORMAT": "json",
    "CHARTER_PORT": "0",
    "CHARTER_RATE_LIMITS": NO_LIMITS,
}


@dataclass(frozen=True)
class Held:
    """The resources of a process: memory in bytes, descriptors, threads."""

    memory: int
    descriptors: int
    threads: int


@dataclass(frozen=True)
class Server:
    """A running `charter serve` on 127.0.0.1."""

    pid: int
    port: int
    folder: Path

    @property
    def log(self) -> bytes:
        """Return all output on standard error."""
        return (self.folder / "log").read_bytes()

    @property
    def database(self) -> bytes:
        """Return the content of the database file and its journal."""
        return b"".join(file.read_bytes() for file in (self.folder / "data").glob("charter.db*"))

    @property
    def secrets(self) -> list[bytes]:
        """Return the secret and the pepper that the server generated."""
        return [(self.folder / "data" / name).read_bytes().strip() for name in ("secret", "pepper")]

    @property
    def signing_key(self) -> SigningKey:
        """Return the key that signs access tokens."""
        data = self.folder / "data"
        keyring = Keyring(read_secret(data / "secret"), "ES256", int(_SETTINGS["CHARTER_ACCESS_TOKEN_SECONDS"]))
        database = Database(URL.create("sqlite", database=str(data / "charter.db")))
        with database.transaction() as db:
            key = keyring.signing(db)
        database.dispose()
        return key

    def held(self) -> Held:
        """Return the resources that the process uses now."""
        process = Path(f"/proc/{self.pid}")
        facts = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        memory, threads = (int(facts[name].split()[0]) for name in ("VmRSS", "Threads"))
        return Held(memory * 1024, len(list((process / "fd").iterdir())), threads)

    def clients(self) -> set[int]:
        """Return the ports of the clients whose connections the process has open."""
        table = Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]
        links = [line.split() for line in table]
        here = f":{self.port:04X}"
        # A closed socket has no inode, although the kernel may still have data to send.
        ports = {int(link[2].rpartition(":")[2], 16) for link in links if link[1].endswith(here) and int(link[9])}
        # The listening socket has no client.
        return ports - {0}


@contextmanager
def shipped() -> Iterator[Server]:
    """Migrate and serve in a temporary folder, and stop the server at the end."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        environment = {"PATH": os.defpath} | _SETTINGS
        subprocess.run([_COMMAND, "migrate"], check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        with (folder / "log").open("wb") as log, _serving(folder, environment, log.fileno()) as process:
            assert process.stdout is not None
            greeting = process.stdout.readline()
            try:
                yield Server(process.pid, int(greeting.rpartition(":")[2]), folder)
            finally:
                process.terminate()


def _serving(folder: Path, environment: dict[str, str], log: int) -> "subprocess.Popen[str]":
    command = [str(_COMMAND), "serve"]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
