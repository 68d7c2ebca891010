"""The bulkhead for password hashes: few run at once, at low priority, and the queue is short."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from itertools import islice
from time import sleep

import httpx
import pytest
from inflection import underscore
from sqlalchemy import event
from sqlalchemy.pool import Pool
from starlette.testclient import TestClient

from api import clock, contract
from api.app import create_app
from api.config import Config
from api.config.paths import resource_dir
from api.errors import TooBusy
from api.runtime.bulkhead import Bulkhead
from tests.support.bcrypt_spy import Bcrypt
from tests.support.charter import until
from tests.support.concurrency import at_once
from tests.support.niceness import niceness
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import PASSWORD, Person, newcomer
from tests.support.serving import serving
from tests.support.workers import statements

WRONG = "not the right password"
TOO_BUSY = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "detail": "The server is busy. Try again after the number of seconds in Retry-After.",
    "code": "TOO_BUSY",
}


class Clock:
    """The clock by which a bulkhead measures work. Only a test moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        """Let work take this long, by this clock."""
        self.now += seconds


@pytest.fixture
def bulkhead_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Control the clock of every bulkhead, with the shipped limit of the queue."""
    found = Clock()
    monkeypatch.setattr("api.runtime.bulkhead.monotonic", found.time)
    monkeypatch.setattr("api.runtime.bulkhead._MAX_WAIT_SECONDS", 2.0)
    return found


class Gate:
    """A gate that blocks every hash until it is opened, and counts the hashes."""

    def __init__(self, hashing: Bcrypt) -> None:
        self._open = threading.Event()
        self._came = threading.Semaphore(0)
        hashing.meanwhile = self._pass

    def _pass(self) -> None:
        self._came.release()
        assert self._open.wait(timeout=PATIENCE_SECONDS)

    def wait_for(self, hashes: int) -> None:
        """Wait until this number of further hashes has begun."""
        for _ in range(hashes):
            assert self._came.acquire(timeout=PATIENCE_SECONDS)

    def open(self) -> None:
        self._open.set()


@contextmanager
def closed(hashing: Bcrypt) -> Iterator[Gate]:
    """Yield a closed gate, and open it at the end in any case."""
    gate = Gate(hashing)
    try:
        yield gate
    finally:
        gate.open()


@contextmanager
def crowd(url: str, most: int) -> Iterator[Callable[..., Future[httpx.Response]]]:
    """Yield a function that logs alice in at once with other calls, on a connection of its own."""
    with httpx.Client(base_url=url, timeout=PATIENCE_SECONDS) as client, ThreadPoolExecutor(most) as pool:
        yield lambda password=PASSWORD: pool.submit(Person(client, "alice").log_in, password=password)


@pytest.mark.slow
def test_no_more_passwords_are_hashed_at_once_than_configured(config: Config, hashing: Bcrypt) -> None:
    under_way, most, lock = 0, 0, threading.Lock()
    # A hash continues only when a second one runs beside it.
    pair = threading.Barrier(2, timeout=PATIENCE_SECONDS)

    def hash_with_a_partner() -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        pair.wait()
        sleep(0.05)
        with lock:
            under_way -= 1

    with serving(create_app(replace(config, hashes=2))) as url, httpx.Client(base_url=url) as client:
        alice = newcomer(client, "alice")
        hashing.meanwhile = hash_with_a_partner
        assert [response.status_code for response in at_once(*[alice.log_in] * 10)] == [200] * 10
    assert most == 2


def test_log_ins_that_would_queue_for_2_seconds_are_rejected_at_once(
    config: Config, alice: Person, hashing: Bcrypt, bulkhead_clock: Clock
) -> None:
    one = create_app(replace(config, hashes=1))
    with serving(one) as url, crowd(url, 9) as log_in, closed(hashing) as gate, statements() as sent:
        first = log_in()
        gate.wait_for(1)
        second = log_in()
        # The log-in has read the user, so it has its place in the bulkhead.
        until(lambda: sum("users" in statement for statement in sent) == 2)
        # The running hash now takes longer than all before it, so the estimate for the second one grows as well.
        bulkhead_clock.work(2.1)
        hashed = len(hashing.checked)
        sent.clear()
        # No hash ends while the gate is closed, so these responses waited for none.
        with httpx.Client(base_url=url) as client:
            refused = [Person(client, "alice").log_in() for _ in range(5)]
        assert [response.json() for response in refused] == [TOO_BUSY] * 5
        assert all(1 <= int(response.headers["retry-after"]) <= 15 for response in refused)
        assert len(hashing.checked) == hashed
        assert [statement for statement in sent if "users" in statement] == []
        assert [first.done(), second.done()] == [False, False]
        gate.open()
        assert [first.result().status_code, second.result().status_code] == [200, 200]
        assert log_in().result().status_code == 200
        assert log_in(WRONG).result().status_code == 401


def test_a_crowd_is_admitted_up_to_the_limit_with_varied_retry_after(
    config: Config, alice: Person, hashing: Bcrypt, bulkhead_clock: Clock
) -> None:
    # Without a measurement, the estimate is about 0.3 seconds per hash. Alice's own hash is cheap.
    expensive = create_app(replace(config, hashes=1, bcrypt_cost=12))
    with serving(expensive) as url, crowd(url, 20) as log_in, closed(hashing) as gate:
        responses = [log_in(WRONG) for _ in range(20)]
        refused = [response.result() for response in islice(as_completed(responses, timeout=PATIENCE_SECONDS), 12)]
        assert {response.status_code for response in refused} == {503}
        assert len({response.headers["retry-after"] for response in refused}) > 1
        gate.open()
        statuses = [response.result().status_code for response in responses]
        assert statuses.count(401) + statuses.count(503) == 20
        assert 12 <= statuses.count(503) <= 18


@contextmanager
def connections() -> Iterator[Callable[[], int]]:
    """Yield a function that returns how many database connections this process has checked out since the start."""
    change = {"checkout": 0, "checkin": 0}

    def count(name: str, *_: object) -> None:
        change[name] += 1

    listeners = {name: partial(count, name) for name in change}
    for name, listener in listeners.items():
        event.listen(Pool, name, listener)
    yield lambda: change["checkout"] - change["checkin"]
    for name, listener in listeners.items():
        event.remove(Pool, name, listener)


def test_no_database_connection_is_held_while_a_password_is_hashed(config: Config, hashing: Bcrypt) -> None:
    with TestClient(create_app(replace(config, bcrypt_cost=5))) as client, connections() as held:
        newcomer(client, "alice")
    with TestClient(create_app(config)) as client, connections() as held:
        found: list[int] = []
        hashing.meanwhile = lambda: found.append(held())
        alice, bobby = Person(client, "alice"), Person(client, "bobby")
        # Alice's hash has another cost, so the log-in replaces it.
        statuses = [bobby.sign_up(), alice.log_in(password=WRONG), alice.log_in()]
        form = {"current_password": PASSWORD, "new_password": "a better battery for this horse"}
        statuses.append(alice.put("/api/v1/me/password", json=form))
        assert [response.status_code for response in statuses] == [201, 401, 200, 204]
    assert found == [0] * (1 + 1 + 2 + 2)


def test_only_hashes_run_at_a_low_priority(
    client: TestClient, hashing: Bcrypt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def now() -> datetime:
        of_handlers.add(niceness())
        return datetime.now(UTC)

    of_hashes: set[int] = set()
    of_handlers: set[int] = set()
    hashing.meanwhile = lambda: of_hashes.add(niceness())
    monkeypatch.setattr(clock, "now", now)
    newcomer(client, "alice").refresh()
    assert (of_hashes, of_handlers) == ({niceness() + 4}, {niceness()})


def test_exactly_operations_with_hashes_or_limits_document_too_busy() -> None:
    document = contract.load(resource_dir("openapi"))
    limited = {operation.id for operation, _ in contract.limited(document)}
    for operation in document.operations():
        handler = getattr(import_module(f"api.handlers.{operation.tag}"), underscore(operation.id))
        unavailable = operation.responses.get("503", {})
        hashes = "hasher" in inspect.signature(handler).parameters
        # Unknown API keys and services have a limit, too.
        is_limited = (
            operation.id in limited or {"apiKey": []} in operation.security or {"client": []} in operation.security
        )
        assert (hashes or is_limited) == ("TOO_BUSY" in str(unavailable))


async def _refusals(bulkhead: Bulkhead, calls: int) -> int:
    """Return how many of the simultaneous calls are rejected when each waits for the one before."""

    async def ask() -> bool:
        try:
            await bulkhead.run(lambda: bulkhead.run_work(lambda: sleep(0.01)))
        except TooBusy:
            return True
        return False

    return sum(await asyncio.gather(*[ask() for _ in range(calls)]))


def test_calls_without_work_do_not_lower_the_estimate(bulkhead_clock: Clock) -> None:
    async def run() -> None:
        bulkhead = Bulkhead(1, initial_estimate=1.0)
        for _ in range(50):
            await bulkhead.run(lambda: None)
        assert await _refusals(bulkhead, 5) == 2
        bulkhead.close()

    asyncio.run(run())


def test_the_estimate_counts_all_work_of_a_call(bulkhead_clock: Clock) -> None:
    async def run() -> None:
        bulkhead = Bulkhead(1, initial_estimate=0.0)
        for _ in range(15):
            await bulkhead.run(lambda: [bulkhead.run_work(lambda: bulkhead_clock.work(0.05)) for _ in range(2)])
        # With half of the work, the estimate would reject no call.
        assert await _refusals(bulkhead, 35) > 0
        bulkhead.close()

    asyncio.run(run())


def test_a_failed_call_raises_for_its_caller_and_frees_its_place() -> None:
    async def run() -> None:
        bulkhead = Bulkhead(1, initial_estimate=1.0)
        for _ in range(5):
            with pytest.raises(ValueError, match="none"):
                await bulkhead.run(lambda: bulkhead.run_work(lambda: int("none")))
        assert await bulkhead.run(lambda: bulkhead.run_work(lambda: "done")) == "done"
        bulkhead.close()

    asyncio.run(run())


def test_no_thread_of_the_bulkhead_outlives_the_server(config: Config) -> None:
    before = set(threading.enumerate())
    with serving(create_app(config)) as url, httpx.Client(base_url=url) as client:
        newcomer(client, "alice")
        assert {"caller", "work"} <= {thread.name.partition("_")[0] for thread in threading.enumerate()}
    assert {thread.name.partition("_")[0] for thread in set(threading.enumerate()) - before} & {
        "caller",
        "work",
    } == set()
