"""The deletion of an account: the request, the grace period with a code from a mail, and what stays."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, insert, select, text
from starlette.testclient import TestClient

from api import clock, models
from api.app import create_app, deletion_rules
from api.clock import rfc3339
from api.config import Config
from api.mailing import make_outbox
from api.services import deletion, users
from api.storage.database import Database
from tests.features.test_sessions import ACTIVE, ENDED, comparable, log_in_again, session_state
from tests.support import own
from tests.support.api_keys import create_key
from tests.support.charter import beside, until
from tests.support.codes import code_for
from tests.support.concurrency import at_once
from tests.support.databases import on_postgresql, on_sqlite
from tests.support.mail_server import text_of
from tests.support.mailbox import Mailbox
from tests.support.person import Person, newcomer
from tests.support.problems import assert_problem
from tests.support.types import Events, Travel
from tests.support.user_rows import KEPT, USER_COLUMNS
from tests.support.workers import at, by_hand, worker

WEEK = timedelta(days=7)
SECOND = timedelta(seconds=1)


def request(person: Person, password: str = "", **headers: str) -> httpx.Response:
    body = {"current_password": password or person.password}
    return person.client.post("/api/v1/me/deletion", json=body, headers=person.headers | headers)


def restore(client: httpx.Client, code: str) -> httpx.Response:
    return client.post("/api/v1/auth/restore", json={"code": code})


def delete_due(config: Config, database: Database) -> int:
    """Run the step of the background worker until nothing is due. Return the number of users that it deleted."""
    found = 0
    while True:
        with database.transaction() as db:
            if not deletion.delete_due(db, make_outbox(config), deletion_rules(config).name_stay):
                return found
        found += 1


def rows_of(database: Database, user_id: str) -> dict[str, int]:
    """Return how many rows of each table refer to a user, without the tables that have none or outlive the user."""
    with database.transaction() as db:
        counts = {
            table.name: len(db.run(select(table).where(column == UUID(user_id))).all())
            for table, column in USER_COLUMNS
            if table.name not in KEPT
        }
    return {name: count for name, count in counts.items() if count}


def test_a_request_ends_all_access_at_once_on_all_workers(
    config: Config, client: TestClient, alice: Person, mailbox: Mailbox, events: Events
) -> None:
    phone = log_in_again(alice)
    with worker(config) as other:
        there = at(other, alice)
        assert there.get("/protected").status_code == 200
        assert_problem(request(alice, "not the right password"), 403, "WRONG_PASSWORD")
        assert [session_state(person) for person in (alice, phone)] == [ACTIVE, ACTIVE]
        response = request(alice)
        assert response.status_code == 202
        until(lambda: there.get("/protected").status_code == 401)
        assert_problem(there.refresh(), 401, "INVALID_REFRESH_TOKEN")
    assert [session_state(person) for person in (alice, phone)] == [ENDED, ENDED]
    unknown = comparable(Person(client, "nobody").log_in())
    assert comparable(alice.log_in()) == unknown
    names = [name for name, _ in events()]
    assert names[-5:-2] == ["session_revoked", "session_revoked", "deletion_requested"]
    assert ("deletion_failed", {"user_id": alice.id}) in events()


@pytest.mark.usefixtures("still")
def test_the_code_of_the_mail_restores_the_account(client: TestClient, alice: Person, mailbox: Mailbox) -> None:
    phone = log_in_again(alice)
    response = request(alice, **{"Accept-Language": "de"})
    deletes_at = datetime.fromisoformat(response.json()["deletes_at"])
    assert (response.status_code, response.json()) == (202, {"deletes_at": rfc3339(deletes_at)})
    server = mailbox.deliver()
    assert (server.to, server.message()["Subject"]) == ([alice.email], "Charter: Ihr Konto wird gelöscht")
    assert deletes_at.strftime("%Y-%m-%d %H:%M UTC") in text_of(server.message())
    assert_problem(restore(client, "0000-0000-0000"), 403, "INVALID_CODE")
    assert restore(client, server.code()).status_code == 204
    assert_problem(restore(client, server.code()), 403, "INVALID_CODE")
    assert [session_state(person) for person in (phone, alice)] == [ENDED, ENDED]
    assert alice.log_in().status_code == 200


@pytest.mark.parametrize(("later", "status"), [(WEEK - SECOND, 204), (WEEK, 403)])
def test_a_code_restores_until_the_deletion(
    config: Config,
    database: Database,
    client: TestClient,
    travel: Travel,
    alice: Person,
    mailbox: Mailbox,
    later: timedelta,
    status: int,
) -> None:
    assert request(alice).status_code == 202
    code = mailbox.deliver().code()
    travel(later)
    assert restore(client, code).status_code == status
    assert delete_due(config, database) == (status == 403)
    assert alice.log_in().status_code == (200 if status == 204 else 401)


def test_a_mail_that_arrives_late_has_the_same_code(
    client: TestClient, travel: Travel, alice: Person, mailbox: Mailbox
) -> None:
    assert request(alice).status_code == 202
    # The server takes the mail, but its answer is lost.
    mailbox.server.on_data = lambda _: "451 later"
    mailbox.deliver()
    travel(WEEK - timedelta(hours=1))
    mailbox.server.reset()
    assert restore(client, mailbox.deliver().code()).status_code == 204


def test_one_of_20_simultaneous_restorations_wins(client: TestClient, alice: Person, mailbox: Mailbox) -> None:
    assert request(alice).status_code == 202
    code = mailbox.deliver().code()
    responses = at_once(*[partial(restore, client, code)] * 20)
    assert sorted(response.status_code for response in responses) == [204] + [403] * 19


@pytest.mark.parametrize("verb", ["disable", "enable"])
def test_an_operator_cancels_a_deletion(
    config: Config, database: Database, client: TestClient, travel: Travel, alice: Person, mailbox: Mailbox, verb: str
) -> None:
    assert request(alice).status_code == 202
    with database.transaction() as db:
        getattr(users, verb)(db, "alice")
    # The mail was not sent yet, and has no reader any more.
    assert mailbox.deliver().to == []
    travel(2 * WEEK)
    assert delete_due(config, database) == 0
    assert alice.log_in().status_code == (401 if verb == "disable" else 200)


@on_sqlite
def test_a_user_who_is_enabled_at_the_last_moment_stays(
    config: Config, database: Database, alice: Person, travel: Travel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert request(alice).status_code == 202
    travel(WEEK)
    delete = deletion._delete

    def enable_first(*given: Any) -> None:
        with database.transaction() as db:
            users.enable(db, "alice")
        delete(*given)

    monkeypatch.setattr(deletion, "_delete", enable_first)
    delete_due(config, database)
    assert alice.log_in().status_code == 200


def test_other_codes_end_with_the_request(
    config: Config, database: Database, client: TestClient, alice: Person, mailbox: Mailbox
) -> None:
    code = code_for("resetPassword", config, database, "alice")
    assert request(alice).status_code == 202
    body = {"code": code, "new_password": "a better battery for this horse"}
    assert_problem(client.post("/api/v1/auth/password/reset", json=body), 403, "INVALID_CODE")
    assert_problem(restore(client, code), 403, "INVALID_CODE")


def fill(config: Config, database: Database, person: Person) -> None:
    """Give a user rows in every table that can have some."""
    log_in_again(person)
    create_key(person, "profile")
    assert person.change_profile(username=f"{person.username}9").status_code == 200
    code_for("resetPassword", config, database, f"{person.username}9")
    with database.transaction() as db:
        place = {"user_id": UUID(person.id), "digest": bytes(16), "seen_at": clock.now()}
        db.run(insert(models.known_places), place)
        make_outbox(config).add(db, "password_changed", person.email, WEEK, user_id=UUID(person.id))
    tables = {table.name for table, _ in USER_COLUMNS} - KEPT.keys() - own.TABLES
    assert rows_of(database, person.id).keys() == tables, "name your tables in tests/support/own.py"


def test_a_deletion_leaves_no_row(
    config: Config,
    database: Database,
    client: TestClient,
    alice: Person,
    bobby: Person,
    mailbox: Mailbox,
    travel: Travel,
    events: Events,
) -> None:
    for person in (alice, bobby):
        fill(config, database, person)
    kept = rows_of(database, bobby.id)
    assert request(alice).status_code == 202
    assert rows_of(database, alice.id).keys() == {
        "api_keys",
        "event_origins",
        "known_places",
        "outbox",
        "retired_names",
        "users",
    }
    travel(WEEK)
    assert delete_due(config, database) == 1
    assert (rows_of(database, alice.id), rows_of(database, bobby.id)) == ({}, kept)
    assert events()[-1] == ("user_deleted", {"user_id": alice.id})
    with database.transaction() as db:
        waiting = db.run(select(models.outbox).where(models.outbox.c.address == alice.email)).all()
        assert [(mail.template, mail.user_id, mail.facts) for mail in waiting] == [("account_deleted", None, {})]
        reserved = db.run(select(models.retired_names).where(models.retired_names.c.user_id.is_(None))).all()
        assert sorted(name.key for name in reserved) == ["alice", "alice9"]
    server = mailbox.deliver()
    assert server.message(alice.email)["Subject"] == "Charter: your account was deleted"
    # The name stays reserved, and the address is free.
    assert_problem(Person(client, "alice9").sign_up(), 409, "USERNAME_TAKEN")
    form = {"username": "carol", "email": alice.email, "password": alice.password}
    assert client.post("/api/v1/auth/signup", json=form).status_code == 201


def test_all_due_users_are_deleted_and_no_others(
    config: Config, database: Database, client: TestClient, travel: Travel
) -> None:
    people = [newcomer(client, f"user{number}") for number in range(6)]
    for person in people[:4]:
        assert request(person).status_code == 202
    travel(WEEK)
    late = Person(client, "user5")
    late.log_in()
    assert request(late).status_code == 202
    at_once(*[partial(delete_due, config, database)] * 3)
    with database.transaction() as db:
        assert db.run(select(models.outbox.c.template)).scalars().all().count("account_deleted") == 4
        assert [user.username for user in users.list_after(db, None, 9)] == ["user4", "user5"]


def test_a_user_with_foreign_rows_does_not_stop_the_deletion_of_others(
    config: Config, database: Database, alice: Person, bobby: Person, travel: Travel, caplog: pytest.LogCaptureFixture
) -> None:
    kind = "UUID" if config.is_shared else "CHAR(32)"
    by_hand(config, f"CREATE TABLE letters (id INTEGER PRIMARY KEY, writer {kind} REFERENCES users (id))")
    by_hand(config, f"INSERT INTO letters VALUES (1, '{UUID(alice.id).hex}')")  # noqa: S608 - an id of ours
    for person in (alice, bobby):
        assert request(person).status_code == 202
    travel(WEEK)
    assert delete_due(config, database) == 2
    assert rows_of(database, alice.id).keys() == {"event_origins", "known_places", "outbox", "users"}
    assert rows_of(database, bobby.id) == {}
    assert [record.levelname for record in caplog.records if record.message == "deletion_blocked"] == ["ERROR"]
    refused = beside(config).run("users", "delete", "alice", "--yes")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert re.fullmatch(
        r"Error: rows of another table prevent the deletion: .+; charter doctor lists their foreign key\n",
        refused.stderr,
    )
    assert alice.log_in().status_code == 401
    by_hand(config, "DROP TABLE letters")
    travel(timedelta(hours=1))
    assert delete_due(config, database) == 1
    assert rows_of(database, alice.id) == {}


@pytest.fixture
def hasty(config: Config) -> Iterator[TestClient]:
    """A client of an application without a grace period."""
    with TestClient(create_app(replace(config, deletion_days=0, name_days=0))) as client:
        yield client


def test_without_a_grace_period_a_request_deletes(hasty: TestClient, database: Database, mailbox: Mailbox) -> None:
    alice = newcomer(hasty, "alice")
    assert request(alice).status_code == 202
    assert rows_of(database, alice.id) == {}
    assert session_state(alice) == ENDED
    assert mailbox.deliver().message()["Subject"] == "Charter: your account was deleted"
    assert newcomer(hasty, "alice").get("/protected").status_code == 200


@on_postgresql
def test_a_deletion_needs_no_mail_server(config: Config, database: Database) -> None:
    with TestClient(create_app(replace(config, smtp_url=None))) as client:
        alice = newcomer(client, "alice")
        assert request(alice).status_code == 202
        assert rows_of(database, alice.id).keys() == {"event_origins", "known_places", "users"}


@on_sqlite
def test_wrong_passwords_of_a_deletion_are_limited(config: Config, still: None) -> None:
    with TestClient(create_app(replace(config, rate_limits=()))) as client:
        alice = newcomer(client, "alice")
        statuses = [request(alice, "wrong").status_code for _ in range(11)]
        assert statuses == [403] * 10 + [429]
        assert request(alice).status_code == 429


@pytest.mark.slow
def test_the_command_deletes_a_user(config: Config, database: Database, client: TestClient, alice: Person) -> None:
    charter = beside(config, smtp_port=1)
    assert request(newcomer(client, "bobby")).status_code == 202
    listed = charter.run("users", "list").stdout
    assert [line.split()[1:4:2] for line in listed.splitlines()[1:]] == [["enabled", "alice"], ["deleting", "bobby"]]
    shown = dict(line.split(maxsplit=1) for line in charter.run("users", "show", "bobby").stdout.splitlines())
    assert (shown["state"], shown["deletion"][-1]) == ("deleting", "Z")
    refused = charter.run("users", "delete", "alice")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.endswith("run charter users delete alice --yes to delete the user without a prompt\n")
    assert charter.run("users", "delete", "carol", "--yes").stderr == "Error: no such user: carol\n"
    deleted = charter.run("users", "delete", "Alice@example.com", "--yes")
    assert (deleted.returncode, deleted.stdout) == (0, "alice is deleted.\n")
    assert rows_of(database, alice.id) == {}
    assert [state for _, state, *_ in Mailbox(config, database, None).states()] == ["waiting", "waiting"]  # type: ignore[arg-type]


@on_postgresql
def test_a_deletion_and_a_delivery_to_one_user_do_not_block_each_other(
    config: Config, database: Database, alice: Person, mailbox: Mailbox
) -> None:
    mailbox.verifies = True
    waiting = select(func.count()).select_from(text("pg_locks WHERE NOT granted"))

    def delete() -> None:
        with database.transaction() as db:
            deletion.delete_now(db, make_outbox(config), timedelta(), "alice")

    with database.transaction() as db, ThreadPoolExecutor() as pool:
        users.lock(db, UUID(alice.id))
        deleted = pool.submit(delete)
        until(lambda: db.run(waiting).scalar() == 1)
        delivered = pool.submit(mailbox.deliver)
        until(lambda: db.run(waiting).scalar() == 2)
        db.commit()
        deleted.result()
        delivered.result()
    assert rows_of(database, alice.id) == {}
    assert mailbox.deliver().to == [alice.email]


@pytest.mark.parametrize("mail", ["reset_password", "sign_up"])
@on_sqlite
def test_a_deletion_removes_a_mail_whose_request_named_an_address_only(
    config: Config, database: Database, alice: Person, mailbox: Mailbox, mail: str
) -> None:
    mailbox.server.on_recipient = lambda _: "550 no such mailbox"
    with database.transaction() as db:
        make_outbox(config).add(db, mail, alice.email, WEEK)
    mailbox.deliver()
    assert [row[:2] for row in mailbox.states()] == [(mail, "dead")]
    with database.transaction() as db:
        deletion.delete_now(db, make_outbox(config), timedelta(), "alice")
    assert [row[0] for row in mailbox.states()] == [deletion.FAREWELL]
