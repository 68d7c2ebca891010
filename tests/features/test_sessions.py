"""Where a user is logged in, and how that ends."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import delete, func, select, update
from starlette.testclient import TestClient

from api import clock
from api.config import Config
from api.crypto.cursors import CursorCodec
from api.models import RefreshToken, Session, User
from api.services import sessions
from api.storage.change_feed import Change, subscribe
from api.storage.database import Database
from tests.support.concurrency import at_once
from tests.support.databases import on_sqlite
from tests.support.person import Person, newcomer
from tests.support.types import Events, Travel

SESSIONS = "/api/v1/sessions"
UNKNOWN = "019b2c9e-8a10-7f52-b1c6-5d2e7a9f0b34"
DAY = timedelta(days=1)


def listed(person: Person, **query: int | str) -> list[dict[str, Any]]:
    """The sessions on one page."""
    answer = person.client.get(SESSIONS, headers=person.headers, params=query)
    assert answer.status_code == 200
    return list(answer.json()["items"])


def again(person: Person) -> Person:
    """The same user, logged in once more."""
    other = Person(person.client, person.username, person.password)
    assert other.log_in().status_code == 200
    other.id = person.id
    return other


def session_of(person: Person) -> str:
    (own,) = [item["id"] for item in listed(person, limit=100) if item["current"]]
    return str(own)


def is_in(person: Person) -> tuple[int, int]:
    """What the access token and the refresh token of a session are answered with."""
    return person.get("/protected").status_code, person.refresh().status_code


IN, OUT = (200, 200), (401, 401)


def said(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    """All of an answer that does not differ from one to the next."""
    headers = {name: text for name, text in answer.headers.items() if name not in {"date", "x-request-id"}}
    return answer.status_code, answer.content, headers


def test_logging_in_always_makes_a_new_session(alice: Person) -> None:
    session = session_of(alice)
    body = {"username": "alice", "password": alice.password}
    answer = alice.client.post("/api/v1/auth/login", json=body, headers=alice.headers)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    other = Person(alice.client, "alice", token=answer.json()["access_token"])
    assert session_of(other) != session
    assert session_of(alice) == session
    assert len(listed(alice)) == 2


def test_logging_out_ends_access_and_refresh_and_no_other_session(alice: Person) -> None:
    phone = again(alice)
    assert alice.log_out().status_code == 204
    assert is_in(alice) == OUT
    assert is_in(phone) == IN
    assert len(listed(phone)) == 1


def test_a_session_tells_when_and_where_it_was_used(client: TestClient, alice: Person, travel: Travel) -> None:
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
def test_what_a_client_calls_itself_is_kept_as_far_as_it_is_fit(server: str, sent: bytes, kept: str) -> None:
    with httpx.Client(base_url=server, headers={b"user-agent": sent}) as client:
        assert [item["user_agent"] for item in listed(newcomer(client, "alice"))] == [kept]


def test_no_control_character_is_kept_of_what_a_client_calls_itself(client: TestClient) -> None:
    client.headers["user-agent"] = "a\x1b[31m\x00\r\n\x7fb"
    assert listed(newcomer(client, "alice"))[0]["user_agent"] == "a[31mb"


def test_sessions_come_in_pages_the_newest_first(alice: Person, bobby: Person) -> None:
    others = [again(alice) for _ in range(6)]
    ids = [session_of(person) for person in (*reversed(others), alice)]
    pages: list[list[dict[str, Any]]] = []
    query: dict[str, str | None] = {"limit": "3"}
    while not pages or query["cursor"]:
        answer = alice.client.get(SESSIONS, headers=alice.headers, params=query).json()
        pages.append(answer["items"])
        query["cursor"] = answer["next_cursor"]
    assert [len(page) for page in pages] == [3, 3, 1]
    items = [item for page in pages for item in page]
    assert [item["id"] for item in items] == ids
    assert [item["current"] for item in items] == [False] * 6 + [True]
    assert len(listed(alice)) == 7
    assert len(listed(bobby)) == 1


def test_the_last_page_may_be_full(alice: Person) -> None:
    again(alice)
    answer = alice.client.get(SESSIONS, headers=alice.headers, params={"limit": 2}).json()
    assert (len(answer["items"]), answer["next_cursor"]) == (2, None)


def test_a_page_goes_on_behind_a_session_that_has_ended(alice: Person) -> None:
    newest = again(alice)
    cursor = alice.client.get(SESSIONS, headers=alice.headers, params={"limit": 1}).json()["next_cursor"]
    newest.log_out()
    again(alice)
    assert [item["current"] for item in listed(alice, cursor=cursor)] == [True]


def test_a_page_holds_20_sessions_unless_it_is_asked_for_up_to_100(alice: Person) -> None:
    for _ in range(100):
        again(alice)
    assert [len(listed(alice)), len(listed(alice, limit=1)), len(listed(alice, limit=100))] == [20, 1, 100]


@pytest.mark.parametrize(
    "limit", ["0", "-1", "101", str(2**63), str(2**31), "1_0", "nan", "", "1.0", "1e1", "+1", " 1", "\uff11", "true"]
)
def test_a_limit_is_a_number_from_1_to_100(alice: Person, limit: str) -> None:
    answer = alice.client.get(SESSIONS, headers=alice.headers, params={"limit": limit})
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_INPUT")
    assert {fault["pointer"] for fault in answer.json()["errors"]} == {"/query/limit"}


CURSORS: dict[str, Callable[[str], str]] = {
    "forged": lambda cursor: "A" * len(cursor),
    "for another item": lambda cursor: ("B" if cursor[0] == "A" else "A") + cursor[1:],
    "with another proof": lambda cursor: cursor[:-1] + ("B" if cursor[-1] == "A" else "A"),
    "truncated": lambda cursor: cursor[:-1],
    "truncated by a group": lambda cursor: cursor[:-4],
    "without its proof": lambda cursor: cursor[:22],
    "short": lambda cursor: cursor[:1],
    "empty": lambda cursor: cursor[:0],
    "longer": lambda cursor: f"{cursor}AAAA",
    "twice": lambda cursor: 2 * cursor,
    "padded": lambda cursor: f"{cursor}=",
    "in the other base64": lambda cursor: f"{cursor[:-1]}+",
    "with a line's end": lambda cursor: f"{cursor}\n",
    "with a space": lambda cursor: f" {cursor}",
    "in full width": lambda cursor: cursor[:-1] + chr(0xFEE0 + ord(cursor[-1])),
    "of 10 kB": lambda cursor: cursor * 160,
    "an offset": lambda _: "1",
    "an id": lambda _: UNKNOWN,
    "SQL": lambda _: "' OR 1=1 --",
}


@pytest.fixture
def cursor(alice: Person) -> str:
    """A good one of alice's."""
    again(alice)
    answer = alice.client.get(SESSIONS, headers=alice.headers, params={"limit": 1}).json()
    assert len(listed(alice, cursor=answer["next_cursor"])) == 1
    return str(answer["next_cursor"])


def refuses(person: Person, cursor: str) -> None:
    answer = person.client.get(SESSIONS, headers=person.headers, params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_INPUT")
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/query/cursor"]


@pytest.mark.parametrize("kind", CURSORS)
def test_a_cursor_has_one_spelling_that_nobody_can_make_up(alice: Person, cursor: str, kind: str) -> None:
    refuses(alice, CURSORS[kind](cursor))


def test_a_cursor_is_for_one_list_of_one_user_under_one_secret(
    alice: Person, bobby: Person, cursor: str, config: Config
) -> None:
    refuses(bobby, cursor)
    last, user_id = UUID(session_of(alice)), UUID(alice.id)
    assert listed(alice, cursor=CursorCodec(config.secret).make("sessions", user_id, last)) == []
    refuses(alice, CursorCodec(config.secret).make("notes", user_id, last))
    refuses(alice, CursorCodec(config.pepper).make("sessions", user_id, last))


def test_a_session_that_has_expired_is_not_listed(alice: Person, travel: Travel) -> None:
    travel(20 * DAY)
    later = again(alice)
    assert len(listed(later)) == 2
    travel(10 * DAY)
    later.refresh()
    assert [item["current"] for item in listed(later)] == [True]


def test_a_session_is_revoked_by_its_id(alice: Person) -> None:
    lost = again(alice)
    answer = alice.delete(f"{SESSIONS}/{session_of(lost)}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert is_in(lost) == OUT
    assert is_in(alice) == IN
    assert len(listed(alice)) == 1


def test_the_session_that_asks_may_revoke_itself(alice: Person) -> None:
    assert alice.delete(f"{SESSIONS}/{session_of(alice)}").status_code == 204
    assert is_in(alice) == OUT


def test_unknown_ended_and_foreign_sessions_are_not_found_alike(alice: Person, bobby: Person) -> None:
    ended = again(alice)
    ids = [UNKNOWN, session_of(bobby), session_of(ended)]
    ended.log_out()
    answers = [alice.delete(f"{SESSIONS}/{id_}") for id_ in ids]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "NOT_FOUND")] * 3
    assert [said(answer) for answer in answers] == [said(answers[0])] * 3
    assert is_in(bobby) == IN


@pytest.mark.parametrize("id_", ["1", "current", "%20", "0" * 32, "'--", UNKNOWN.upper(), f"{UNKNOWN}%0a"])
def test_what_is_no_id_is_told_so(alice: Person, id_: str) -> None:
    answer = alice.delete(f"{SESSIONS}/{id_}")
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_INPUT")
    assert {fault["pointer"] for fault in answer.json()["errors"]} == {"/path/session_id"}


def test_all_other_sessions_are_revoked_at_once(alice: Person, bobby: Person) -> None:
    others = [again(alice) for _ in range(3)]
    answer = alice.delete(SESSIONS)
    assert (answer.status_code, answer.content) == (204, b"")
    assert [is_in(other) for other in others] == [OUT] * 3
    assert [is_in(alice), is_in(bobby)] == [IN, IN]
    assert alice.delete(SESSIONS).status_code == 204


def test_each_session_that_is_revoked_is_an_event(alice: Person, events: Events) -> None:
    one, two, three = [again(alice) for _ in range(3)]
    ids = [session_of(person) for person in (one, two, three, alice)]
    one.log_out()
    alice.delete(f"{SESSIONS}/{ids[1]}")
    alice.delete(f"{SESSIONS}/{UNKNOWN}")
    alice.delete(SESSIONS)
    assert events()[3:] == [("session_revoked", {"user_id": alice.id, "session_id": id_}) for id_ in ids[:3]]


def test_of_many_who_end_sessions_at_once_nobody_meets_a_failure(server: str) -> None:
    with httpx.Client(base_url=server) as client:
        for number in range(5):
            people = [newcomer(client, f"alice{number}")]
            people += [again(people[0]) for _ in range(6)]
            calls = [call for person in people for call in (partial(person.delete, SESSIONS), person.refresh)]
            assert {answer.status_code for answer in at_once(*calls)} <= {200, 204, 401}


def test_who_is_deleted_is_out(alice: Person, bobby: Person, database: Database) -> None:
    assert is_in(alice) == IN
    with database.transaction() as db:
        db.execute(delete(User).where(User.username == "alice"))
        assert db.scalars(select(func.count()).select_from(Session)).one() == 1
        assert db.scalars(select(func.count()).select_from(RefreshToken)).one() == 1
    assert is_in(alice) == OUT
    assert alice.log_in().status_code == 401
    assert is_in(bobby) == IN


@on_sqlite
@pytest.mark.parametrize("change", ["DELETE FROM users", "UPDATE users SET disabled_at = '2026-01-31 12:00:00.000000'"])
def test_whom_somebody_puts_out_by_hand_does_not_go_on(alice: Person, config: Config, change: str) -> None:
    # SQLite's own shell does not enforce foreign keys unless it is told to.
    with closing(sqlite3.connect(str(config.database_url.database))) as shell:
        shell.execute(f"{change} WHERE username = 'alice'")
        shell.commit()
    answer = alice.refresh()
    assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_REFRESH_TOKEN")


def test_expired_sessions_are_purged_an_hour_later(alice: Person, database: Database, travel: Travel) -> None:
    for _ in range(4):
        again(alice)
    alice.refresh()
    travel(30 * DAY)
    bobby = newcomer(alice.client, "bobby")
    assert rows(database) == [6, 7]
    assert [purged(database) for _ in range(2)] == [0, 0]
    travel(timedelta(minutes=61))
    assert [purged(database, most=3) for _ in range(3)] == [3, 2, 0]
    assert rows(database) == [1, 1]
    assert bobby.refresh().status_code == 200


def test_log_ins_do_not_purge(alice: Person, database: Database, travel: Travel) -> None:
    travel(31 * DAY)
    again(alice)
    assert rows(database) == [2, 2]


def rows(database: Database) -> list[int]:
    """How many sessions and refresh tokens the database holds."""
    with database.transaction() as db:
        return [db.scalars(select(func.count()).select_from(table)).one() for table in (Session, RefreshToken)]


def purged(database: Database, most: int = 100) -> int:
    """Delete up to `most` expired sessions and return their number."""
    with database.transaction() as db:
        return sessions.delete_expired(db, most)


def test_a_purge_of_expired_sessions_is_not_reported_as_a_change(alice: Person, database: Database) -> None:
    again(alice)
    with database.transaction() as db:
        ended = select(Session.id).order_by(Session.id)
        first, second = db.scalars(ended)
        for session_id, since in ((first, timedelta(hours=2)), (second, timedelta(minutes=-5))):
            db.execute(update(Session).where(Session.id == session_id).values(expires_at=clock.now() - since))
    following = subscribe(database)
    with database.transaction() as db:
        db.execute(delete(Session))
    assert following.feed.read() == [Change("sessions", second.hex)]
    following.connection.close()
