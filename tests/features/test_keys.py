"""API keys: created once, listed with a hint, changed, revoked, and accepted by the operations that offer them."""

import io
import re
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from time import sleep
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from api import clock, models
from api.config import Config
from api.crypto import prefixed_secrets
from api.errors import NotFound
from api.services import api_key_uses, api_keys
from api.services.api_key_uses import KeyUses
from api.storage.database import Database, new_id
from tests.support.api_keys import KEYS, change_key, create_key, unknown_key
from tests.support.charter import until
from tests.support.codes import code_for
from tests.support.concurrency import at_once
from tests.support.databases import on_sqlite
from tests.support.mailbox import Mailbox
from tests.support.person import PASSWORD, Person, newcomer
from tests.support.problems import assert_problem
from tests.support.roles import change_role
from tests.support.types import Events, Travel
from tests.support.workers import by_hand, disable, statements, stored_bytes, worker

BOUND_SECONDS = 0.1
FORM = {"name": "Nightly report", "scopes": ["profile"]}


def pages(person: Person, **query: Any) -> list[dict[str, Any]]:
    """Return all keys in the list of a user."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        body = person.client.get(KEYS, params=query | cursor, headers=person.headers).json()
        found += body["items"]
        if body["next_cursor"] is None:
            return found
        cursor = {"cursor": body["next_cursor"]}


def test_a_key_is_shown_once_and_stored_as_a_digest(
    config: Config, alice: Person, events: Events, mailbox: Mailbox, travel: Travel, log: io.StringIO
) -> None:
    alice.log_in()
    response = alice.post(KEYS, json=FORM | {"scopes": ["sessions", "profile"]})
    assert response.status_code == 201
    row = response.json()
    key = row.pop("key")
    assert re.fullmatch("charter_key_[0-9A-Za-z]{38}", key)
    assert prefixed_secrets.is_well_formed(key)
    assert response.headers["location"] == f"{KEYS}/{row['id']}"
    created_at = datetime.fromisoformat(row["created_at"])
    assert timedelta() <= clock.now() - created_at < timedelta(seconds=1)
    assert row == {
        "id": row["id"],
        "name": "Nightly report",
        "hint": key[:16],
        "scopes": ["profile", "sessions"],
        "created_at": clock.rfc3339(created_at),
        "expires_at": clock.rfc3339(created_at + timedelta(days=90)),
        "last_used_at": None,
    }
    assert alice.get(KEYS).json() == {"items": [row], "next_cursor": None}
    assert alice.get(response.headers["location"]).json() == row
    assert alice.client.get("/protected", headers={"Authorization": f"bearer {key}"}).status_code == 200
    assert key.encode() not in stored_bytes(config)
    assert key not in log.getvalue()
    assert f'"key_id":"{row["id"]}"' in log.getvalue()
    mail = str(mailbox.deliver().message())
    assert row["hint"] in mail
    assert key not in mail


def test_only_its_user_can_read_change_and_revoke_a_key(alice: Person, bobby: Person, events: Events) -> None:
    program = create_key(alice, "profile")
    assert program.get("/api/v1/me").json() == alice.get("/api/v1/me").json()
    earlier = clock.rfc3339(clock.now() + timedelta(days=1))
    assert_problem(change_key(bobby, program.path, name="Mine"), 404, "NOT_FOUND")
    for refused in (bobby.get(program.path), bobby.delete(program.path)):
        assert_problem(refused, 404, "NOT_FOUND")
    for changes in ({"name": "Weekly report"}, {"expires_at": earlier}):
        program.row |= changes
        response = change_key(alice, program.path, **changes)
        assert (response.status_code, response.json()) == (200, program.row)
    assert alice.delete(program.path).status_code == 204
    assert_problem(program.get("/api/v1/me"), 401, "INVALID_TOKEN")
    for late in (alice.get(program.path), alice.delete(program.path), change_key(alice, program.path, name="Gone")):
        assert_problem(late, 404, "NOT_FOUND")
    facts = {"user_id": alice.id, "key_id": program.row["id"]}
    found = [event for event in events() if event[0].startswith("api_key")]
    assert found == [(f"api_key_{what}", facts) for what in ("created", "changed", "changed", "revoked")]


@pytest.mark.parametrize(
    ("form", "pointer", "code"),
    [
        ({"scopes": ["profile", "users:read"]}, "/body/scopes/1", "NOT_ALLOWED"),
        ({"scopes": []}, "/body/scopes", "TOO_FEW"),
        ({"scopes": ["profile", "profile"]}, "/body/scopes", "DUPLICATE_ITEM"),
        ({"name": ""}, "/body/name", "TOO_SHORT"),
        ({"expires_at": "tomorrow"}, "/body/expires_at", "WRONG_FORMAT"),
    ],
)
@on_sqlite
def test_an_invalid_key_is_not_created(alice: Person, form: dict[str, Any], pointer: str, code: str) -> None:
    response = alice.post(KEYS, json=FORM | form)
    assert_problem(response, 400, "INVALID_INPUT")
    assert [(fault["pointer"], fault["code"]) for fault in response.json()["errors"]] == [(pointer, code)]


@on_sqlite
def test_the_expiry_of_a_key_has_bounds(config: Config, travel: Travel) -> None:
    with worker(replace(config, key_days=30, key_prefix="acme")) as client:
        alice = newcomer(client, "alice")
        # The usual 90 days are too many here.
        program = create_key(alice, "profile")
        assert program.key.startswith("acme_key_")
        latest = datetime.fromisoformat(program.row["expires_at"])
        assert timedelta(days=29) < latest - clock.now() <= timedelta(days=30)
        exact = create_key(alice, "profile", expires_at=latest.isoformat().replace("T", "t"))
        assert exact.row["expires_at"] == program.row["expires_at"]
        too_late = clock.rfc3339(latest + timedelta(seconds=1))
        for expires_at in (too_late, "9999-12-31T23:59:59.9-23:59", "2026-01-01T00:00:00Z", clock.rfc3339(clock.now())):
            for response in (
                alice.post(KEYS, json=FORM | {"expires_at": expires_at}),
                change_key(alice, program.path, expires_at=expires_at),
            ):
                assert_problem(response, 409, "EXPIRY_OUT_OF_RANGE")
        published = client.get("/openapi.json").json()["components"]["securitySchemes"]["apiKey"]
        assert published["x-prefix"] == "acme_key_"
        assert_problem(
            client.get("/protected", headers={"Authorization": f"Bearer {unknown_key()}"}), 401, "INVALID_TOKEN"
        )


def test_a_key_expires_to_the_second(alice: Person, travel: Travel) -> None:
    alice.log_in()
    program = create_key(alice, "profile", expires_at=(clock.now() + timedelta(seconds=60)).isoformat())
    travel(timedelta(seconds=59))
    assert program.get("/protected").status_code == 200
    travel(timedelta(seconds=1))
    assert_problem(program.get("/protected"), 401, "INVALID_TOKEN")
    assert alice.get(KEYS).json()["items"] == []
    assert_problem(alice.delete(program.path), 404, "NOT_FOUND")


def test_a_key_is_created_only_after_a_recent_proof_of_identity(alice: Person, travel: Travel) -> None:
    alice.log_in()
    travel(timedelta(minutes=14))
    assert alice.post(KEYS, json=FORM).status_code == 201
    travel(timedelta(minutes=2))
    alice.refresh()
    assert_problem(alice.post(KEYS, json=FORM), 401, "STEP_UP_REQUIRED")


def test_simultaneous_requests_create_at_most_50_keys(alice: Person) -> None:
    for _ in range(api_keys.MOST_KEYS - 3):
        create_key(alice, "profile")
    responses = at_once(*[partial(alice.post, KEYS, json=FORM)] * 20)
    assert sorted(response.status_code for response in responses) == [201] * 3 + [409] * 17
    found = pages(alice, limit=20)
    assert len(found) == 50
    assert [row["id"] for row in found] == sorted((row["id"] for row in found), reverse=True)
    assert_problem(alice.post(KEYS, json=FORM), 409, "TOO_MANY_KEYS")
    assert alice.delete(f"{KEYS}/{found[-1]['id']}").status_code == 204
    create_key(alice, "profile")


@on_sqlite
def test_a_cursor_is_valid_for_its_user_only(alice: Person, bobby: Person) -> None:
    for _ in range(2):
        create_key(alice, "profile")
    cursor = alice.get(f"{KEYS}?limit=1").json()["next_cursor"]
    assert_problem(bobby.get(f"{KEYS}?cursor={cursor}"), 400, "INVALID_INPUT")


def test_a_key_with_an_error_costs_no_statement(alice: Person) -> None:
    program = create_key(alice, "profile")
    program.get("/protected")
    last = "1" if program.key[-1] == "0" else "0"
    wrong = [
        program.key[:-1] + last,
        program.key[:20] + program.key[20].swapcase() + program.key[21:]
        if program.key[20].isalpha()
        else "charter_key_",
        program.key + "0",
        "charter_key_" + "é" * 38,
    ]
    with statements() as sent:
        for key in wrong:
            headers = {b"Authorization": f"Bearer {key}".encode("latin-1")}
            response = program.client.get("/protected", headers=headers)
            assert_problem(response, 401, "INVALID_TOKEN")
            assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        # This operation accepts no key.
        assert_problem(program.get("/api/v1/sessions"), 401, "MISSING_TOKEN")
    assert sent == []
    with statements() as sent:
        assert_problem(replace(program, key=unknown_key()).get("/protected"), 401, "INVALID_TOKEN")
    assert len(sent) == 1


def test_the_scopes_of_a_key_follow_the_role(config: Config) -> None:
    with worker(config) as client:
        alice = newcomer(client, "alice")
        program, narrow = create_key(alice, "profile"), create_key(alice, "sessions")
        assert program.get("/api/v1/me").status_code == 200
        refused = narrow.get("/api/v1/me")
        assert_problem(refused, 403, "INSUFFICIENT_SCOPE")
        assert refused.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="profile"'
        change_role(config, alice, "gone")
        sleep(BOUND_SECONDS)
        assert_problem(program.get("/api/v1/me"), 403, "INSUFFICIENT_SCOPE")
        change_role(config, alice, "user")
        sleep(BOUND_SECONDS)
        assert program.get("/api/v1/me").status_code == 200


@pytest.mark.parametrize("end", ["revoked", "disabled", "shortened", "deleted"])
def test_the_end_of_a_key_reaches_all_workers_within_100_ms(config: Config, end: str) -> None:
    with worker(config) as here, worker(config) as there:
        alice = newcomer(here, "alice")
        program = create_key(alice, "profile")
        everywhere = [program, replace(program, client=there)]
        for _ in range(2):
            assert [one.get("/protected").status_code for one in everywhere] == [200, 200]
        if end == "revoked":
            assert alice.delete(program.path).status_code == 204
            assert_problem(program.get("/protected"), 401, "INVALID_TOKEN")
        elif end == "disabled":
            disable(config, "alice")
        else:
            change = "DELETE FROM users" if end == "deleted" else "UPDATE api_keys SET expires_at = created_at"
            by_hand(config, change)
        sleep(BOUND_SECONDS)
        assert [one.get("/protected").status_code for one in everywhere] == [401, 401]
        if end == "disabled":
            by_hand(config, "UPDATE users SET disabled_at = NULL")
            sleep(BOUND_SECONDS)
            assert [one.get("/protected").status_code for one in everywhere] == [200, 200]


def test_keys_do_not_depend_on_the_secret_or_the_password(config: Config) -> None:
    with worker(config) as client:
        alice = newcomer(client, "alice")
        program = create_key(alice, "profile")
        passwords = {"current_password": PASSWORD, "new_password": "another battery staple"}
        assert alice.put("/api/v1/me/password", json=passwords).status_code == 204
    with worker(replace(config, secret=bytes(range(64, 96)))) as client:
        assert replace(program, client=client).get("/api/v1/me").json()["username"] == "alice"


@pytest.mark.parametrize(
    "end", ["DELETE FROM users", "DELETE FROM sessions", "UPDATE users SET disabled_at = created_at"]
)
def test_a_session_that_ended_meanwhile_creates_no_key(
    config: Config, alice: Person, database: Database, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    make = prefixed_secrets.make

    def end_then_make(*arguments: str) -> str:
        by_hand(config, end)
        return make(*arguments)

    monkeypatch.setattr(prefixed_secrets, "make", end_then_make)
    assert_problem(alice.post(KEYS, json=FORM), 401, "INVALID_TOKEN")
    with database.transaction() as db:
        assert db.run(select(models.api_keys)).all() == []


def test_an_undone_change_of_the_email_revokes_all_keys(
    config: Config, database: Database, client: TestClient, alice: Person, bobby: Person
) -> None:
    stolen, kept = create_key(alice, "profile"), create_key(bobby, "profile")
    assert stolen.get("/protected").status_code == 200
    code = code_for("revertEmailChange", config, database, "alice")
    assert client.post("/api/v1/auth/email/revert", json={"code": code}).status_code == 204
    assert_problem(stolen.get("/protected"), 401, "INVALID_TOKEN")
    assert kept.get("/protected").status_code == 200


def test_uses_of_a_key_are_written_once_a_minute(alice: Person, database: Database, travel: Travel) -> None:
    alice.log_in()
    key_id = UUID(create_key(alice, "profile").row["id"])
    here, there = KeyUses(), KeyUses()
    others = [new_id() for _ in range(25)]

    def flush(uses: KeyUses) -> int:
        with statements() as sent, database.transaction() as db:
            while uses.flush(db):
                db.commit()
        return len(sent)

    def age() -> int | None:
        used_at = alice.get(KEYS).json()["items"][0]["last_used_at"]
        return used_at and round((clock.now() - datetime.fromisoformat(used_at)).total_seconds())

    for each in [*others, *[key_id] * 1000]:
        here.record(each, clock.now())
    there.record(key_id, clock.now())
    assert (flush(here), age()) == (0, None)
    travel(timedelta(seconds=59))
    there.record(key_id, clock.now())
    travel(timedelta(seconds=1))
    assert (flush(here), age()) == (26, 60)
    # The other process used the key less than a minute after the time that was just written.
    assert (flush(there), age(), flush(here)) == (1, 60, 0)
    travel(timedelta(seconds=1))
    there.record(key_id, clock.now())
    travel(timedelta(seconds=59))
    assert (flush(there), age()) == (1, 59)


def test_a_use_that_is_not_committed_is_written_later(alice: Person, database: Database, travel: Travel) -> None:
    alice.log_in()
    program, uses = create_key(alice, "profile"), KeyUses()
    uses.record(UUID(program.row["id"]), clock.now())
    travel(timedelta(seconds=60))
    with suppress(NotFound), database.transaction() as db:
        uses.flush(db)
        raise NotFound()
    assert alice.get(KEYS).json()["items"][0]["last_used_at"] is None
    with database.transaction() as db:
        uses.flush(db)
    assert alice.get(KEYS).json()["items"][0]["last_used_at"] is not None


@on_sqlite
def test_requests_with_a_key_write_its_use_in_the_background(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_key_uses, "_PERIOD", timedelta(seconds=0.1))
    with worker(config) as client:
        alice = newcomer(client, "alice")
        program = create_key(alice, "profile")
        began = clock.now()
        with statements() as sent:
            assert program.get("/protected").status_code == 200
            assert not [statement for statement in sent if statement.startswith("UPDATE")]
        until(lambda: alice.get(KEYS).json()["items"][0]["last_used_at"])
        assert alice.get(KEYS).json()["items"][0]["last_used_at"] >= clock.rfc3339(began)


def test_expired_keys_are_purged_an_hour_later(alice: Person, database: Database, travel: Travel) -> None:
    alice.log_in()
    create_key(alice, "profile")
    create_key(alice, "profile", expires_at=clock.rfc3339(clock.now() + timedelta(seconds=1)))
    purged = []
    for passed in (timedelta(minutes=59), timedelta(minutes=1, seconds=1)):
        travel(passed)
        with database.transaction() as db:
            purged.append(api_keys.delete_expired(db, 100))
    assert purged == [0, 1]
    alice.log_in()
    assert len(alice.get(KEYS).json()["items"]) == 1
