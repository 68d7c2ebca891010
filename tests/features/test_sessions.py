"""The sessions of a user: listing, paging and revocation."""

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import delete, select, text, update
from starlette.testclient import TestClient

from api import clock, models
from api.config import Config
from api.crypto.cursors import CursorCodec, Listing
from api.services import sessions
from api.storage.change_feed import Change, subscribe
from api.storage.database import Database
from tests.support.charter import until
from tests.support.concurrency import at_once
from tests.support.databases import on_postgresql, on_sqlite
from tests.support.person import Person, newcomer
from tests.support.problems import assert_problem
from tests.support.rows import count
from tests.support.types import Events, Travel
from tests.support.workers import worker

SESSIONS = "/api/v1/sessions"
UNKNOWN = "019b2c9e-8a10-7f52-b1c6-5d2e7a9f0b34"
DAY = timedelta(days=1)


def listed(person: Person, **query: int | str) -> list[dict[str, Any]]:
    """Return the sessions on one page."""
    response = person.client.get(SESSIONS, headers=person.headers, params=query)
    assert response.status_code == 200
    return list(response.json()["items"])


def log_in_again(person: Person) -> Person:
    """Log the user in again. Return a person with the tokens of the new session."""
    other = Person(person.client, person.username, person.password)
    assert other.log_in().status_code == 200
    other.id = person.id
    return other


def session_of(person: Person) -> str:
    (own,) = [item["id"] for item in listed(person, limit=100) if item["current"]]
    return str(own)


def session_state(person: Person) -> tuple[int, int]:
    """Return the status of the responses to the access token and to the refresh token of a session."""
    return person.get("/protected").status_code, person.refresh().status_code


ACTIVE, ENDED = (200, 200), (401, 401)


def comparable(response: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    """Return the parts of a response that are the same each time."""
    headers = {name: text for name, text in response.headers.items() if name not in {"date", "x-request-id"}}
    return response.status_code, response.content, headers


def test_log_in_always_creates_a_new_session(alice: Person) -> None:
    session = session_of(alice)
    body = {"username": "alice", "password": alice.password}
    response = alice.client.post("/api/v1/auth/login", json=body, headers=alice.headers)
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    other = Person(alice.client, "alice", token=response.json()["access_token"])
    assert session_of(other) != session
    assert session_of(alice) == session
    assert len(listed(alice)) == 2


def test_log_out_ends_access_and_refresh_of_one_session(alice: Person) -> None:
    phone = log_in_again(alice)
    assert alice.log_out().status_code == 204
    assert session_state(alice) == ENDED
    assert session_state(phone) == ACTIVE
    assert len(listed(phone)) == 1


def test_a_session_shows_the_time_and_client_of_its_last_use(client: TestClient, alice: Person, travel: Travel) -> None:
    client.headers["user-agent"] = "Laptop/1.0"
    alice.log_in()
    (session, _) = listed(alice)
    assert session == {
        "id": session_of(alice),
        "created_at": session["created_at"],
        "last_used_at": session["created_at"],
        "expires_at": session["expires_at"],
        "ip_address": "127.0.0.1",
        "user_agent": "Laptop/1.0",
        "current": True,
    }
    travel(DAY)
    client.headers["user-agent"] = "Laptop/2.0"
    alice.refresh()
    (later, _) = listed(alice)
    assert later["last_used_at"] > session["last_used_at"]
    assert later["expires_at"] > session["expires_at"]
    moved = {name: later[name] for name in ("last_used_at", "expires_at")}
    assert later == session | moved | {"user_agent": "Laptop/2.0"}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"x" * 256, "x" * 255),
        (b"\xff" * 300, "\xff" * 255),
        (b"a\x9b b\t\xa0\xad\xe9", "a b\xe9"),
        ("\N{GRINNING FACE}".encode(), "\xf0"),
        (b"<b>'\"%s{}", "<b>'\"%s{}"),
        (b"", ""),
    ],
)
def test_the_user_agent_is_stored_truncated_and_sanitized(server: str, sent: bytes, kept: str) -> None:
    with httpx.Client(base_url=server, headers={b"user-agent": sent}) as client:
        assert [item["user_agent"] for item in listed(newcomer(client, "alice"))] == [kept]


def test_control_characters_are_removed_from_the_user_agent(client: TestClient) -> None:
    client.headers["user-agent"] = "a\x1b[31m\x00\r\n\x7fb"
    assert listed(newcomer(client, "alice"))[0]["user_agent"] == "a[31mb"


def test_sessions_are_listed_in_pages_newest_first(alice: Person, bobby: Person) -> None:
    others = [log_in_again(alice) for _ in range(6)]
    ids = [session_of(person) for person in (*reversed(others), alice)]
    pages: list[list[dict[str, Any]]] = []
    query: dict[str, str | None] = {"limit": "3"}
    while not pages or query["cursor"]:
        response = alice.client.get(SESSIONS, headers=alice.headers, params=query).json()
        pages.append(response["items"])
        query["cursor"] = response["next_cursor"]
    assert [len(page) for page in pages] == [3, 3, 1]
    items = [item for page in pages for item in page]
    assert [item["id"] for item in items] == ids
    assert [item["current"] for item in items] == [False] * 6 + [True]
    assert len(listed(alice)) == 7
    assert len(listed(bobby)) == 1


def test_the_last_page_may_be_full(alice: Person) -> None:
    log_in_again(alice)
    response = alice.client.get(SESSIONS, headers=alice.headers, params={"limit": 2}).json()
    assert (len(response["items"]), response["next_cursor"]) == (2, None)


def test_a_cursor_works_after_its_session_has_ended(alice: Person) -> None:
    newest = log_in_again(alice)
    cursor = alice.client.get(SESSIONS, headers=alice.headers, params={"limit": 1}).json()["next_cursor"]
    newest.log_out()
    log_in_again(alice)
    assert [item["current"] for item in listed(alice, cursor=cursor)] == [True]


@pytest.mark.slow
def test_a_page_has_20_sessions_by_default_and_100_at_most(config: Config) -> None:
    with worker(replace(config, sessions_per_user=101)) as client:
        alice = newcomer(client, "alice")
        for _ in range(100):
            log_in_again(alice)
        assert [len(listed(alice)), len(listed(alice, limit=1)), len(listed(alice, limit=100))] == [20, 1, 100]


@pytest.mark.parametrize(
    "limit", ["0", "-1", "101", str(2**63), str(2**31), "1_0", "nan", "", "1.0", "1e1", "+1", " 1", "\uff11", "true"]
)
def test_a_limit_must_be_an_integer_from_1_to_100(alice: Person, limit: str) -> None:
    response = alice.client.get(SESSIONS, headers=alice.headers, params={"limit": limit})
    assert_problem(response, 400, "INVALID_INPUT")
    assert {fault["pointer"] for fault in response.json()["errors"]} == {"/query/limit"}


CURSORS: dict[str, Callable[[str], str]] = {
    "forged": lambda cursor: "A" * len(cursor),
    "for another item": lambda cursor: ("B" if cursor[0] == "A" else "A") + cursor[1:],
    "with another MAC": lambda cursor: cursor[:-1] + ("B" if cursor[-1] == "A" else "A"),
    "truncated": lambda cursor: cursor[:-1],
    "truncated by a group": lambda cursor: cursor[:-4],
    "without its MAC": lambda cursor: cursor[:22],
    "short": lambda cursor: cursor[:1],
    "empty": lambda cursor: cursor[:0],
    "longer": lambda cursor: f"{cursor}AAAA",
    "twice": lambda cursor: 2 * cursor,
    "padded": lambda cursor: f"{cursor}=",
    "in the other base64": lambda cursor: f"{cursor[:-1]}+",
    "with a line break": lambda cursor: f"{cursor}\n",
    "with a space": lambda cursor: f" {cursor}",
    "in full width": lambda cursor: cursor[:-1] + chr(0xFEE0 + ord(cursor[-1])),
    "of 10 kB": lambda cursor: (cursor * 160)[:10_240],
    "an offset": lambda _: "1",
    "an id": lambda _: UNKNOWN,
    "SQL": lambda _: "' OR 1=1 --",
}


@pytest.fixture
def cursor(alice: Person) -> str:
    """A valid cursor for alice's sessions."""
    log_in_again(alice)
    response = alice.client.get(SESSIONS, headers=alice.headers, params={"limit": 1}).json()
    assert len(listed(alice, cursor=response["next_cursor"])) == 1
    return str(response["next_cursor"])


def assert_cursor_rejected(person: Person, cursor: str) -> None:
    response = person.client.get(SESSIONS, headers=person.headers, params={"cursor": cursor})
    assert_problem(response, 400, "INVALID_INPUT")
    assert [fault["pointer"] for fault in response.json()["errors"]] == ["/query/cursor"]


@pytest.mark.parametrize("kind", CURSORS)
@on_sqlite
def test_an_altered_or_forged_cursor_is_rejected(alice: Person, cursor: str, kind: str) -> None:
    assert_cursor_rejected(alice, CURSORS[kind](cursor))


def test_a_cursor_is_bound_to_its_list_user_and_secret(
    alice: Person, bobby: Person, cursor: str, config: Config
) -> None:
    assert_cursor_rejected(bobby, cursor)
    last, user_id = UUID(session_of(alice)), UUID(alice.id)
    assert listed(alice, cursor=CursorCodec(config.secret).make(Listing("sessions", user_id), [last])) == []
    assert_cursor_rejected(alice, CursorCodec(config.secret).make(Listing("notes", user_id), [last]))
    assert_cursor_rejected(alice, CursorCodec(config.pepper).make(Listing("sessions", user_id), [last]))


def test_an_expired_session_is_not_listed(alice: Person, travel: Travel) -> None:
    travel(20 * DAY)
    later = log_in_again(alice)
    assert len(listed(later)) == 2
    travel(10 * DAY)
    later.refresh()
    assert [item["current"] for item in listed(later)] == [True]


def test_a_session_is_revoked_by_its_id(alice: Person) -> None:
    lost = log_in_again(alice)
    response = alice.delete(f"{SESSIONS}/{session_of(lost)}")
    assert (response.status_code, response.content) == (204, b"")
    assert session_state(lost) == ENDED
    assert session_state(alice) == ACTIVE
    assert len(listed(alice)) == 1


def test_a_session_may_revoke_itself(alice: Person) -> None:
    assert alice.delete(f"{SESSIONS}/{session_of(alice)}").status_code == 204
    assert session_state(alice) == ENDED


def test_unknown_ended_and_foreign_sessions_get_the_same_404(alice: Person, bobby: Person) -> None:
    ended = log_in_again(alice)
    ids = [UNKNOWN, session_of(bobby), session_of(ended)]
    ended.log_out()
    responses = [alice.delete(f"{SESSIONS}/{id_}") for id_ in ids]
    assert [(response.status_code, response.json()["code"]) for response in responses] == [(404, "NOT_FOUND")] * 3
    assert [comparable(response) for response in responses] == [comparable(responses[0])] * 3
    assert session_state(bobby) == ACTIVE


@pytest.mark.parametrize("id_", ["1", "current", "%20", "0" * 32, "'--", UNKNOWN.upper(), f"{UNKNOWN}%0a"])
def test_a_malformed_session_id_is_invalid_input(alice: Person, id_: str) -> None:
    response = alice.delete(f"{SESSIONS}/{id_}")
    assert_problem(response, 400, "INVALID_INPUT")
    assert {fault["pointer"] for fault in response.json()["errors"]} == {"/path/session_id"}


def test_all_other_sessions_are_revoked_at_once(alice: Person, bobby: Person) -> None:
    others = [log_in_again(alice) for _ in range(3)]
    response = alice.delete(SESSIONS)
    assert (response.status_code, response.content) == (204, b"")
    assert [session_state(other) for other in others] == [ENDED] * 3
    assert [session_state(alice), session_state(bobby)] == [ACTIVE, ACTIVE]
    assert alice.delete(SESSIONS).status_code == 204


@on_postgresql
def test_two_sessions_that_end_all_others_do_not_end_each_other(alice: Person, database: Database) -> None:
    late = log_in_again(alice)
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as db:
            sessions.revoke_others(db, UUID(alice.id), UUID(session_of(alice)))
            response = pool.submit(late.delete, SESSIONS)
            until(lambda: response.done() or db.run(waiting).scalar())
        assert_problem(response.result(), 401, "INVALID_TOKEN")
    assert [session_state(alice), session_state(late)] == [ACTIVE, ENDED]


def test_each_session_that_is_revoked_is_an_event(alice: Person, events: Events) -> None:
    one, two, three = [log_in_again(alice) for _ in range(3)]
    ids = [session_of(person) for person in (one, two, three, alice)]
    one.log_out()
    alice.delete(f"{SESSIONS}/{ids[1]}")
    alice.delete(f"{SESSIONS}/{UNKNOWN}")
    alice.delete(SESSIONS)
    assert events()[3:] == [("session_revoked", {"user_id": alice.id, "session_id": id_}) for id_ in ids[:3]]


@pytest.mark.slow
def test_concurrent_revocations_and_refreshes_do_not_fail(server: str) -> None:
    with httpx.Client(base_url=server) as client:
        for number in range(5):
            people = [newcomer(client, f"alice{number}")]
            people += [log_in_again(people[0]) for _ in range(6)]
            calls = [call for person in people for call in (partial(person.delete, SESSIONS), person.refresh)]
            assert {response.status_code for response in at_once(*calls)} <= {200, 204, 401}


def test_deleting_a_user_ends_access(alice: Person, bobby: Person, database: Database) -> None:
    assert session_state(alice) == ACTIVE
    with database.transaction() as db:
        db.run(delete(models.users).where(models.users.c.username == "alice"))
    assert count(database, models.sessions) == 1
    # The application knows a change of another process after a short time, which tests/soak measures.
    until(lambda: alice.get("/protected").status_code == 401)
    assert session_state(alice) == ENDED
    assert alice.log_in().status_code == 401
    assert session_state(bobby) == ACTIVE


@on_sqlite
@pytest.mark.parametrize("change", ["DELETE FROM users", "UPDATE users SET disabled_at = '2026-01-31 12:00:00.000000'"])
def test_a_user_removed_in_the_sqlite_shell_cannot_refresh(alice: Person, config: Config, change: str) -> None:
    # The SQLite shell does not enforce foreign keys by default.
    with closing(sqlite3.connect(str(config.database_url.database))) as shell:
        shell.execute(f"{change} WHERE username = 'alice'")
        shell.commit()
    response = alice.refresh()
    assert_problem(response, 401, "INVALID_REFRESH_TOKEN")


def test_expired_sessions_are_purged_an_hour_later(alice: Person, database: Database, travel: Travel) -> None:
    for _ in range(4):
        log_in_again(alice)
    travel(30 * DAY)
    bobby = newcomer(alice.client, "bobby")
    assert count(database, models.sessions) == 6
    assert [purged(database) for _ in range(2)] == [0, 0]
    travel(timedelta(minutes=61))
    assert [purged(database, most=3) for _ in range(3)] == [3, 2, 0]
    assert count(database, models.sessions) == 1
    assert bobby.refresh().status_code == 200


def test_log_ins_do_not_purge(alice: Person, database: Database, travel: Travel) -> None:
    travel(31 * DAY)
    log_in_again(alice)
    assert count(database, models.sessions) == 2


def purged(database: Database, most: int = 100) -> int:
    """Delete up to `most` expired sessions and return their number."""
    with database.transaction() as db:
        return sessions.delete_expired(db, most)


def test_a_purge_of_expired_sessions_is_not_reported_as_a_change(alice: Person, database: Database) -> None:
    log_in_again(alice)
    with database.transaction() as db:
        ended = select(models.sessions.c.id).order_by(models.sessions.c.id)
        first, second = db.run(ended).scalars()
        for session_id, since in ((first, timedelta(hours=2)), (second, timedelta(minutes=-5))):
            db.run(
                update(models.sessions).where(models.sessions.c.id == session_id).values(expires_at=clock.now() - since)
            )
    following = subscribe(database)
    with database.transaction() as db:
        db.run(delete(models.sessions))
    assert following.feed.read() == [Change("sessions", second.hex)]
    following.connection.close()
