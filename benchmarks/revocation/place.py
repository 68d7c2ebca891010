"""A database with two processes of the shipped server, and a channel between them that can be cut."""

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
from sqlalchemy import URL, create_engine, text

from api import contract
from api.config import Config, folder
from api.database import Database
from api.hashing import Hasher
from api.keys import Vault
from api.memory import Memory
from api.refresh_tokens import RefreshTokens
from api.services import sessions, users
from api.services.signing_keys import Keyring
from api.services.token_pairs import Mint
from api.tokens import Tokens
from benchmarks.revocation.proxy import Proxy, proxied

_COMMAND = Path(sys.executable).parent / "charter"


@dataclass(frozen=True)
class Place:
    """Two workers, and access tokens of as many sessions; `cut(True)` cuts the channel, `cut(False)` mends it."""

    here: httpx.Client
    there: httpx.Client
    tokens: list[str]
    cut: Callable[[bool], None]


@contextmanager
def on_sqlite(home: Path, count: int) -> Iterator[Place]:
    """In a file; when the channel is cut, no note in it lives long enough to be read."""
    url = URL.create("sqlite", database=str(home / "charter.db"))
    with _place(url, url, home, count) as place:
        yield place


@contextmanager
def on_postgresql(url: URL, home: Path, count: int) -> Iterator[Place]:
    """In an empty database of PostgreSQL; when the channel is cut, the second worker's is silent."""
    with proxied(url) as proxy, _place(url, proxy.url, home, count, proxy) as place:
        yield place


@contextmanager
def _place(url: URL, url_there: URL, home: Path, count: int, proxy: Proxy | None = None) -> Iterator[Place]:
    config = Config(database_url=url, secret=secrets.token_bytes(32), pepper=secrets.token_bytes(32))
    with ExitStack() as stack:
        # The first command migrates, and makes the keys that sign.
        subprocess.run(
            [_COMMAND, "migrate"], check=True, env=_environment(config, url, home), stdout=subprocess.DEVNULL
        )
        here, there = (stack.enter_context(_serving(_environment(config, each, home))) for each in (url, url_there))
        yield Place(here, there, _issue(config, count), _cut_notes(url) if proxy is None else _cut_proxy(proxy))


def _environment(config: Config, url: URL, home: Path) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "CHARTER_DATA_DIR": str(home),
        "CHARTER_PORT": "0",
        "CHARTER_SECRET": config.secret.hex(),
        "CHARTER_PEPPER": config.pepper.hex(),
        "DATABASE_URL": url.render_as_string(hide_password=False),
    }


@contextmanager
def _serving(environment: dict[str, str]) -> Iterator[httpx.Client]:
    command = [str(_COMMAND), "serve"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        port = process.stdout.readline().rpartition(":")[2].strip()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                yield client
        finally:
            process.terminate()


def _issue(config: Config, count: int) -> list[str]:
    """Access tokens of as many sessions of one user, without the wait for a hash each."""
    database = Database(config.database_url)
    mint = Mint(
        Tokens(config.issuer, config.audience, config.access_token_seconds),
        Keyring(Vault(config.secret), config.signing_algorithm, config.access_token_seconds),
        RefreshTokens(config.secret),
        Memory(database),
        scopes=contract.load(folder("openapi")).scopes_of("user"),
        idle=timedelta(days=1),
        absolute=timedelta(days=1),
    )
    with database.transaction() as db:
        user_id: UUID = users.create(db, Hasher(config.pepper, 4), "alice", "alice@example.com", "a battery staple").id
        tokens = [sessions.issue(db, mint, user_id, "127.0.0.1", "").access_token for _ in range(count)]
    database.dispose()
    return tokens


def _cut_proxy(proxy: Proxy) -> Callable[[bool], None]:
    def cut(yes: bool) -> None:
        proxy.cut = yes

    return cut


def _cut_notes(url: URL) -> Callable[[bool], None]:
    def cut(yes: bool) -> None:
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text(_CUT if yes else "DROP TRIGGER cut"))
        engine.dispose()

    return cut


_CUT = "CREATE TRIGGER cut AFTER INSERT ON changes BEGIN DELETE FROM changes; END"
