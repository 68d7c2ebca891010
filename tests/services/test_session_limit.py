"""A user has a limited number of sessions: a log-in ends the least recently used one, and the excess is trimmed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, insert, select, text
from starlette.testclient import TestClient

from api import models
from api.config import Config
from api.services import session_limit, session_statements
from api.services.session_limit import ExcessTrimmer
from api.storage.database import Database, new_id
from tests.support.charter import until
from tests.support.concurrency import at_once
from tests.support.databases import on_postgresql
from tests.support.person import Person, newcomer
from tests.support.problems import assert_problem
from tests.support.types import Events, Travel
from tests.support.workers import by_hand, statements, worker

SESSIONS = models.sessions
MOST = 3


@pytest.fixture
def config(config: Config) -> Config:
    return replace(config, sessions_per_user=MOST)


def device(alice: Person) -> Person:
    """Return the same user, logged in on another device."""
    other = replace(alice)
    assert other.log_in().status_code == 200
    return other


def is_live(person: Person) -> bool:
    return person.refresh().status_code == 200


def count(database: Database, person: Person) -> int:
    query = select(func.count()).select_from(SESSIONS).where(SESSIONS.c.user_id == UUID(person.id))
    with database.engine.connect() as connection:
        return connection.scalar(query) or 0


def test_a_log_in_beyond_the_limit_ends_the_least_recently_used_session(
    alice: Person, bobby: Person, travel: Travel, events: Events
) -> None:
    devices = [alice]
    for _ in range(MOST - 1):
        travel(timedelta(seconds=1))
        devices.append(device(alice))
    travel(timedelta(seconds=1))
    assert is_live(alice)
    oldest = devices[1]
    session_id = next(item["id"] for item in oldest.get("/api/v1/sessions").json()["items"] if item["current"])
    newest = device(alice)
    assert_problem(oldest.get("/protected"), 401, "INVALID_TOKEN")
    assert_problem(oldest.refresh(), 401, "INVALID_REFRESH_TOKEN")
    assert ("session_revoked", {"user_id": alice.id, "session_id": session_id}) in [
        (name, {key: facts[key] for key in ("user_id", "session_id") if key in facts}) for name, facts in events()
    ]
    assert [is_live(each) for each in (alice, devices[2], newest, bobby)] == [True] * 4


def test_a_session_ends_on_every_worker_at_once(config: Config) -> None:
    with worker(config) as here, worker(config) as there:
        alice = newcomer(here, "alice")
        first = replace(alice, client=there)
        assert first.get("/protected").status_code == 200
        for _ in range(MOST):
            device(alice)
        assert alice.get("/protected").status_code == 401
        until(lambda: first.get("/protected").status_code == 401)


def test_a_new_session_stays_although_others_were_used_in_the_future(alice: Person, config: Config) -> None:
    for _ in range(MOST - 1):
        device(alice)
    # The clock of another host was ahead.
    by_hand(config, "UPDATE sessions SET last_used_at = '2099-01-01'")
    assert is_live(device(alice))


def test_log_ins_at_once_keep_the_limit(alice: Person, database: Database) -> None:
    def log_in() -> httpx.Response:
        return replace(alice).log_in()

    assert [response.status_code for response in at_once(*[log_in] * 8)] == [200] * 8
    assert count(database, alice) == MOST


@on_postgresql
def test_log_ins_that_wait_for_the_user_keep_the_limit(alice: Person, database: Database) -> None:
    for _ in range(MOST - 2):
        device(alice)
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with ThreadPoolExecutor(2) as pool:
        with database.transaction() as db:
            db.run(text("SELECT FROM users WHERE username = 'alice' FOR UPDATE"))
            log_ins = [pool.submit(replace(alice).log_in) for _ in range(2)]
            until(lambda: db.run(waiting).scalar() == 2)
        assert [each.result().status_code for each in log_ins] == [200, 200]
    assert count(database, alice) == MOST


Fill = Callable[[Person, int], None]


@pytest.fixture
def fill(database: Database) -> Fill:
    """A function that adds sessions to a user, each used before the one before it."""

    def add(person: Person, number: int) -> None:
        with database.engine.begin() as connection:
            row = dict(
                connection.execute(select(SESSIONS).where(SESSIONS.c.user_id == UUID(person.id))).mappings().first()
                or {}
            )
            rows = [
                row
                | {"id": new_id(), "family": new_id().bytes, "last_used_at": row["last_used_at"] - timedelta(hours=n)}
                for n in range(1, number + 1)
            ]
            connection.execute(insert(SESSIONS), rows)

    return add


def test_a_log_in_ends_only_some_of_very_many_sessions(alice: Person, database: Database, fill: Fill) -> None:
    fill(alice, 200)
    device(alice)
    assert count(database, alice) == 1 + 200 + 1 - session_statements.ENDED_AT_ONCE
    assert is_live(alice)


def test_the_background_task_ends_existing_excess(config: Config, database: Database, fill: Fill) -> None:
    with worker(config) as client:
        alice, bobby = newcomer(client, "alice"), newcomer(client, "bobby")
        fill(alice, 50)
    with worker(replace(config, background="on")) as client:
        until(lambda: count(database, alice) == MOST)
        assert [is_live(replace(person, client=client)) for person in (alice, bobby)] == [True, True]


@pytest.mark.parametrize("page", [5, 7, 1000])
def test_the_trimmer_passes_all_users_once(
    client: TestClient, database: Database, fill: Fill, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(session_limit, "_PAGE", page)
    people = [newcomer(client, f"person{number}") for number in range(6)]
    for person, number in zip(people, (1, 2, 3, 30, 1, 4), strict=True):
        fill(person, number)
    trimmer = ExcessTrimmer(MOST)
    steps = 0
    while _step(database, trimmer):
        steps += 1
        assert steps < 100
    assert [count(database, person) for person in people] == [2, MOST, MOST, MOST, 2, MOST]
    # The sessions that were used last are left.
    assert all(is_live(person) for person in people)
    with statements() as sent:
        assert _step(database, trimmer) is False
    assert sent == []


def _step(database: Database, trimmer: ExcessTrimmer) -> bool:
    with database.transaction() as db:
        return trimmer.step(db)
