"""A database with two processes of the shipped server, and a channel between them that can be cut."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import httpx
from sqlalchemy import URL, create_engine, text
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from tests.support.charter import beside
from tests.support.person import newcomer
from tests.support.proxy import proxied

# All tokens belong to one user.
_MANY_SESSIONS = 10_000

Cut = Callable[[bool], None]
"""`cut(True)` cuts a channel, `cut(False)` restores it."""


@dataclass(frozen=True)
class Place:
    """Two workers, access tokens of as many sessions of one user, and the channel between the workers."""

    here: httpx.Client
    there: httpx.Client
    tokens: list[str]
    cut: Cut


class Channel(NamedTuple):
    """The database URL of the second worker, and a function that keeps changes from reaching it."""

    url: URL
    cut: Cut


@contextmanager
def settled(config: Config, count: int) -> Iterator[Place]:
    """Yield the setting on the database of this configuration, with `count` tokens."""
    with ExitStack() as stack:
        channel = stack.enter_context(_CHANNELS[config.database_url.get_backend_name()](config.database_url))
        workers = [beside(config), beside(replace(config, database_url=channel.url))]
        for worker in workers:
            worker.settings["CHARTER_SESSIONS_PER_USER"] = str(_MANY_SESSIONS)
        workers[0].run("migrate", "--yes").check_returncode()
        urls = [stack.enter_context(worker.serving()).url for worker in workers]
        here, there = (stack.enter_context(httpx.Client(base_url=url, timeout=30)) for url in urls)
        yield Place(here, there, _issue(config, count), channel.cut)


def _issue(config: Config, count: int) -> list[str]:
    # With the hash cost of the workers, this would take a minute.
    with TestClient(create_app(replace(config, bcrypt_cost=4, sessions_per_user=_MANY_SESSIONS))) as client:
        alice = newcomer(client, "alice")
        return [alice.log_in().json()["access_token"] for _ in range(count)]


@contextmanager
def _sqlite(url: URL) -> Iterator[Channel]:
    """Yield a channel that, when cut, deletes each change from the file before it can be read."""

    def cut(yes: bool) -> None:
        with engine.begin() as connection:
            connection.execute(text(_CUT if yes else "DROP TRIGGER cut"))

    engine = create_engine(url)
    yield Channel(url, cut)
    engine.dispose()


_CUT = "CREATE TRIGGER cut AFTER INSERT ON changes BEGIN DELETE FROM changes; END"


@contextmanager
def _postgresql(url: URL) -> Iterator[Channel]:
    """Yield a channel that goes silent when cut."""

    def cut(yes: bool) -> None:
        proxy.cut = yes

    with proxied(url) as proxy:
        yield Channel(proxy.url, cut)


_CHANNELS = {"sqlite": _sqlite, "postgresql": _postgresql}
