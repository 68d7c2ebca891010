"""The audit log: each change writes its events or fails, nothing changes an event, and lists use indexes."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from resource import RLIM_INFINITY, RLIMIT_FSIZE, prlimit
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Row, select, text
from sqlalchemy.exc import DatabaseError
from starlette.testclient import TestClient

from api import logs, models
from api.clock import now, rfc3339
from api.config import Config
from api.services import events
from api.storage.database import Database
from tests.support.admins import USERS, admin_of
from tests.support.charter import beside
from tests.support.databases import on_sqlite
from tests.support.declared_events import EVENTS, NAMES, OF_CHARTER
from tests.support.event_drives import DRIVEN_BY_COMMANDS, World, drives
from tests.support.person import PASSWORD, Person, newcomer
from tests.support.problems import assert_problem
from tests.support.roles import promote
from tests.support.types import Travel
from tests.support.workers import by_hand, stored_bytes, worker

YEAR, MONTH = timedelta(days=366), timedelta(days=31)


def written(database: Database, response: httpx.Response | None = None) -> list[Row[Any]]:
    """Return the events of a request, or of all of them, the oldest first."""
    query = select(models.events).order_by(models.events.c.id)
    if response is not None:
        query = query.where(models.events.c.request_id == UUID(response.headers["x-request-id"]))
    with database.transaction() as db:
        return list(db.run(query))


def names_of(database: Database, response: httpx.Response | None = None) -> list[str]:
    return [each.event for each in written(database, response)]


@pytest.fixture
def world(config: Config, database: Database, client: TestClient, all_features: None) -> Iterator[World]:
    strict = replace(config, unverified="refused", sessions_per_user=1, deletion_days=0, refresh_grace_seconds=0)
    with worker(strict) as other:
        yield World(config, database, client, other)


@pytest.mark.usefixtures("all_features")
def test_each_request_writes_exactly_its_events(database: Database, world: World) -> None:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for operation, expected, send in drives(world):
        response = send()
        rows = written(database, response)
        assert sorted(row.event for row in rows) == sorted(expected), f"{operation}: {response.text}"
        assert {row.operation for row in rows} <= {operation}
        found[operation] |= expected
    # Each event that an operation declares was written.
    declared = {name: names for name, names in OF_CHARTER.items() if names}
    assert {name: seen for name, seen in found.items() if seen} == declared, "name your tags in tests/support/own.py"
    assert NAMES - {name for names in EVENTS.values() for name in names} == DRIVEN_BY_COMMANDS


def test_an_event_states_the_caller_and_the_client(config: Config, database: Database, alice: Person) -> None:
    response = alice.client.patch(
        "/api/v1/me",
        json={"locale": "de"},
        headers=alice.headers | {"Content-Type": "application/merge-patch+json", "User-Agent": "browser"},
    )
    (event,) = written(database, response)
    session = UUID(alice.get("/api/v1/sessions").json()["items"][0]["id"])
    assert (event.actor, event.actor_id, event.user_id) == ("user", UUID(alice.id), UUID(alice.id))
    assert (event.session_id, event.operation, event.facts) == (session, "updateProfile", {})
    with database.transaction() as db:
        origin = db.run(select(models.event_origins).where(models.event_origins.c.event_id == event.id)).one()
        assert (origin.user_id, origin.ip_address, origin.user_agent) == (UUID(alice.id), "127.0.0.1", "browser")


def test_a_typed_name_is_nowhere_in_the_log(config: Config, database: Database, client: TestClient) -> None:
    typed = "the password of somebody"
    response = client.post("/api/v1/auth/login", json={"username": typed, "password": PASSWORD})
    assert_problem(response, 401, "INVALID_CREDENTIALS")
    (event,) = written(database, response)
    assert (event.event, event.user_id, event.actor, event.facts) == ("log_in_failed", None, "anonymous", {})
    assert typed.encode() not in stored_bytes(config)


def test_a_command_is_an_actor_without_an_origin(config: Config, database: Database, alice: Person) -> None:
    assert beside(config).run("users", "disable", "alice").returncode == 0
    event = written(database)[-1]
    assert (event.event, event.actor, event.operation, event.request_id) == ("user_disabled", "cli", None, None)
    with database.transaction() as db:
        assert db.run(select(models.event_origins).where(models.event_origins.c.event_id == event.id)).all() == []


CHANGES = ["UPDATE events SET event = 'x'", "DELETE FROM events"]
ON_SQLITE = ["INSERT OR REPLACE INTO events (id, at, event, actor, facts) SELECT id, at, 'x', actor, facts FROM events"]
ON_POSTGRESQL = [
    "TRUNCATE events",
    "INSERT INTO events SELECT * FROM events ON CONFLICT (id) DO UPDATE SET event = 'x'",
]


def test_sql_cannot_change_events(config: Config, database: Database, alice: Person) -> None:
    before = stored(database)
    for statement in CHANGES + (ON_POSTGRESQL if config.is_shared else ON_SQLITE):
        with pytest.raises(DatabaseError, match="events cannot be"), database.engine.begin() as connection:
            connection.execute(text(statement))
    assert stored(database) == before != []


def stored(database: Database) -> list[tuple[Any, ...]]:
    with database.transaction() as db:
        return [tuple(row) for row in db.run(select(models.events))]


def test_a_change_fails_if_its_event_cannot_be_written(config: Config, database: Database, alice: Person) -> None:
    by_hand(config, "ALTER TABLE events RENAME TO hidden")
    body = {"current_password": alice.password, "new_password": "another long passphrase"}
    assert_problem(alice.put("/api/v1/me/password", json=body), 500, "INTERNAL_ERROR")
    for password in (alice.password, "wrong"):
        failed = alice.client.post("/api/v1/auth/login", json={"username": "alice", "password": password})
        assert_problem(failed, 500, "INTERNAL_ERROR")
    by_hand(config, "ALTER TABLE hidden RENAME TO events")
    assert len(alice.get("/api/v1/sessions").json()["items"]) == 1
    assert alice.log_in().status_code == 200
    assert names_of(database) == ["user_created", "session_issued", "session_issued"]


def purge(config: Config, database: Database) -> None:
    stays = timedelta(days=config.event_days), timedelta(days=config.event_origin_days)
    with database.transaction() as db:
        events.purge(db, *stays)


def counts(database: Database) -> tuple[int, int]:
    with database.transaction() as db:
        return len(db.run(select(models.events)).all()), len(db.run(select(models.event_origins)).all())


@pytest.mark.slow
@on_sqlite
def test_a_full_disk_refuses_log_ins_that_it_cannot_record(config: Config, database: Database) -> None:
    with beside(config).serving() as server, httpx.Client(base_url=server.url) as client:
        alice = newcomer(client, "alice")
        before = counts(database)
        # No file of the server can grow, which SQLite reports like a full disk.
        prlimit(server.process.pid, RLIMIT_FSIZE, (4096, RLIM_INFINITY))
        for password in (PASSWORD, "wrong"):
            assert_problem(Person(client, "alice").log_in(password=password), 503, "DATABASE_UNAVAILABLE")
        assert alice.get("/api/v1/me").status_code == 200
        assert counts(database) == before
        prlimit(server.process.pid, RLIMIT_FSIZE, (RLIM_INFINITY, RLIM_INFINITY))
        assert alice.log_in().status_code == 200


def test_old_origins_and_then_old_events_are_deleted(
    config: Config, database: Database, alice: Person, travel: Travel
) -> None:
    purge(config, database)
    assert counts(database) == (2, 2)
    travel(MONTH)
    purge(config, database)
    assert counts(database) == (2, 0)
    own = alice_events(alice)
    assert {(item["ip_address"], item["user_agent"]) for item in own} == {(None, None)}
    travel(YEAR - MONTH)
    purge(config, database)
    # The last log-in is not old enough.
    assert counts(database) == (1, 0)


def alice_events(person: Person) -> list[dict[str, Any]]:
    person.log_in()
    items: list[dict[str, Any]] = person.get("/api/v1/me/events").json()["items"]
    # Without the log-in.
    return items[1:]


def test_a_deletion_of_the_user_keeps_the_events_only(config: Config, database: Database, alice: Person) -> None:
    assert beside(config).run("users", "delete", "alice", "--yes").returncode == 0
    assert counts(database) == (3, 0)
    assert {event.user_id for event in written(database)} == {UUID(alice.id)}
    assert b"alice@" not in str(stored(database)).encode()


def test_users_see_the_events_about_themselves(database: Database, alice: Person, bobby: Person) -> None:
    token = logs.cause.set(logs.Cause("user", UUID(bobby.id), UUID(bobby.id), operation="disableUser"))
    with database.transaction() as db, pytest.MonkeyPatch.context() as patch:
        patch.setitem(EVENTS, "disableUser", {"user_disabled"})
        events.record(db, "user_disabled", user_id=UUID(alice.id), reason="a secret reason")
    logs.cause.reset(token)
    first = alice.get("/api/v1/me/events?limit=2").json()
    rest = alice.get(f"/api/v1/me/events?cursor={first['next_cursor']}").json()
    items = first["items"] + rest["items"]
    assert [item["event"] for item in items] == ["user_disabled", "session_issued", "user_created"]
    # The address of another user is not shown, nor are the facts.
    assert [item["ip_address"] for item in items] == [None, "127.0.0.1", "127.0.0.1"]
    assert "secret" not in str(items)
    assert rest["next_cursor"] is None
    refused = bobby.get(f"/api/v1/me/events?cursor={first['next_cursor']}")
    assert_problem(refused, 400, "INVALID_INPUT")


@pytest.fixture
def auditor(config: Config, client: TestClient, alice: Person) -> Person:
    """A user who may read the log, after 4 log-ins and 3 failed ones of another user."""
    carol = Person(client, "carol")
    carol.sign_up()
    for _ in range(3):
        carol.log_in()
        carol.log_in(password="wrong")
    carol.log_in()
    alice.other = carol.id  # type: ignore[attr-defined]
    return promote(config, alice, "support")


def listed(person: Person, query: str, limit: int = 100) -> list[dict[str, Any]]:
    """Return the items of all pages."""
    found, cursor = [], ""
    while True:
        response = person.get(f"/api/v1/events?limit={limit}{query}{cursor}")
        assert response.status_code == 200, response.text
        page = response.json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def test_filters_and_pages_select_events(auditor: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    carol = auditor.other  # type: ignore[attr-defined]
    everything = listed(auditor, "")
    assert [item["id"] for item in everything] == sorted((item["id"] for item in everything), reverse=True)
    # A page with both filters reads few events, so it is short or empty.
    monkeypatch.setattr(events, "_SCANNED", 3)
    third = everything[3]["at"].replace("+", "%2B")
    cases: dict[str, Callable[[dict[str, Any]], bool]] = {
        "": bool,
        f"&user_id={carol}": lambda item: item["user_id"] == carol,
        "&event=log_in_failed": lambda item: item["event"] == "log_in_failed",
        f"&user_id={carol}&event=user_created": lambda item: (
            item["user_id"] == carol and item["event"] == "user_created"
        ),
        f"&since={third}": lambda item: item["at"] >= third,
        f"&until={third}&user_id={carol}": lambda item: item["at"] < third and item["user_id"] == carol,
        "&event=no_such_event": lambda item: not item,
        "&since=0001-01-01T00:00:00%2B14:00&until=9999-12-31T23:59:59-14:00": bool,
    }
    for query, matches in cases.items():
        expected = [item for item in everything if matches(item)]
        assert listed(auditor, query) == listed(auditor, query, 2) == expected


def test_a_cursor_is_bound_to_filters_and_caller(config: Config, auditor: Person, bobby: Person) -> None:
    cursor = auditor.get("/api/v1/events?limit=1&event=session_issued").json()["next_cursor"]
    assert auditor.get(f"/api/v1/events?event=session_issued&cursor={cursor}").status_code == 200
    for query in ("", "&event=log_in_failed", f"&event=session_issued&since={rfc3339(now())}"):
        assert_problem(auditor.get(f"/api/v1/events?cursor={cursor}{query}"), 400, "INVALID_INPUT")
    assert_problem(bobby.get("/api/v1/events"), 403, "INSUFFICIENT_SCOPE")
    promote(config, bobby, "admin")
    assert_problem(bobby.get(f"/api/v1/events?event=session_issued&cursor={cursor}"), 400, "INVALID_INPUT")


@pytest.mark.parametrize("times", [{"since": "9999-12-31T23:59:59-14:00"}, {"until": "0001-01-01T00:00:00+14:00"}])
def test_extreme_times_find_nothing(config: Config, alice: Person, times: dict[str, str]) -> None:
    promote(config, alice, "support")
    response = alice.client.get("/api/v1/events", headers=alice.headers, params=times)
    assert (response.status_code, response.json()["items"]) == (200, [])


def test_a_user_does_not_see_the_session_of_an_admin(config: Config, client: TestClient, alice: Person) -> None:
    admin = admin_of(config, client)
    assert admin.delete(f"{USERS}/{alice.id}/sessions").status_code == 204
    alice.log_in()
    ended = [event for event in alice.get("/api/v1/me/events").json()["items"] if event["event"] == "sessions_revoked"]
    assert [event["session_id"] for event in ended] == [None]
