"""The change monitor in real time, while its channel hangs. The unit tests of the monitor use no clock."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic, sleep

import pytest
from sqlalchemy import URL

from api.config import Config
from tests.storage.test_change_monitor import Monitored, listener, restart_postgresql
from tests.support.charter import until
from tests.support.databases import on_sqlite
from tests.support.person import newcomer
from tests.support.problems import assert_problem
from tests.support.proxy import Proxy, proxied
from tests.support.workers import statements, worker


@pytest.fixture
def listening(postgres_url: URL) -> Iterator[Monitored]:
    """Yield a change monitor on PostgreSQL that is up to date and has a listener."""
    monitored = Monitored(postgres_url)
    until(monitored.is_fresh, 10)
    yield monitored
    monitored.close()


def is_fresh_soon(monitored: Monitored) -> bool:
    """Return True if the monitor is fresh. A check may block for 50 ms, but a busy machine gets two seconds."""
    began = monotonic()
    fresh = monitored.is_fresh()
    assert monotonic() - began < 2
    return fresh


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Suspend a process until the block ends."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_hanging_listener_blocks_no_check_and_is_replaced(listening: Monitored) -> None:
    async def ask(times: int) -> set[bool]:
        return {await listening.monitor.ensure_fresh() for _ in range(times)}

    with stopped(listener(listening)):
        sleep(0.06)
        began = monotonic()
        assert asyncio.run(ask(1_000)) == {False}
        assert monotonic() - began < 2
        until(lambda: is_fresh_soon(listening), 5)
    assert listening.reported == [None, None, None]


def test_a_monitor_with_a_hanging_listener_closes_and_can_be_reused(listening: Monitored) -> None:
    with stopped(listener(listening)):
        sleep(0.06)
        assert not is_fresh_soon(listening)
        began = monotonic()
        listening.monitor.close()
        assert monotonic() - began < 4
        until(lambda: is_fresh_soon(listening), 5)


@pytest.fixture
def proxy(postgres_url: URL) -> Iterator[Proxy]:
    with proxied(postgres_url) as proxy:
        yield proxy


def test_a_silent_channel_makes_the_monitor_stale_until_it_recovers(proxy: Proxy) -> None:
    monitored = Monitored(proxy.url)
    until(monitored.is_fresh, 10)
    proxy.cut = True
    sleep(0.06)
    ends = monotonic() + 2.5
    while monotonic() < ends:
        assert not is_fresh_soon(monitored)
        sleep(0.01)
    proxy.cut = False
    until(lambda: is_fresh_soon(monitored), 5)
    monitored.close()


@on_sqlite
def test_a_worker_without_channel_and_database_authenticates_no_request(config: Config, proxy: Proxy) -> None:
    with worker(replace(config, database_url=proxy.url)) as client:
        alice = newcomer(client, "alice")
        proxy.cut = True
        sleep(0.06)
        began = monotonic()
        for _ in range(20):
            with statements() as sent:
                assert alice.get("/protected").status_code == 200
            assert sent
        assert monotonic() - began < 10
        proxy.close()
        sleep(0.06)
        responses = [alice.get("/protected") for _ in range(20)]
        for response in responses:
            assert_problem(response, 503, "DATABASE_UNAVAILABLE")


@on_sqlite
def test_postgresql_may_restart(config: Config) -> None:
    restart_postgresql(config, 8)
