"""The change of an email: confirmed by the new address, and undone by the former one."""

import re
from datetime import timedelta
from functools import partial

import httpx
import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from api import clock, models
from api.services import users
from api.storage.database import Database
from tests.features.test_password_reset import NEW as PASSWORD
from tests.features.test_password_reset import request as request_reset
from tests.features.test_password_reset import reset
from tests.support.concurrency import at_once
from tests.support.databases import on_sqlite
from tests.support.mail_server import text_of
from tests.support.mailbox import Mailbox
from tests.support.person import Person, newcomer
from tests.support.problems import assert_problem
from tests.support.types import Events, Travel
from tests.support.workers import statements

OLD, NEW, NEWER = "alice@example.com", "alice@example.org", "alice@example.net"
HOUR, WEEK = timedelta(hours=1), timedelta(days=7)


def request(person: Person, email: str = NEW, password: str = "") -> httpx.Response:
    body = {"email": email, "current_password": password or person.password}
    return person.put("/api/v1/me/email", json=body)


def cancel(person: Person) -> httpx.Response:
    return person.delete("/api/v1/me/email/pending")


def confirm(client: httpx.Client, code: str) -> httpx.Response:
    return client.post("/api/v1/auth/email/confirm", json={"code": code})


def revert(client: httpx.Client, code: str) -> httpx.Response:
    return client.post("/api/v1/auth/email/revert", json={"code": code})


def code_of(person: Person, mailbox: Mailbox, email: str = NEW) -> str:
    """Request a change, deliver the mail, and return its code."""
    assert request(person, email).status_code == 202
    return mailbox.deliver().code(email)


def change(person: Person, mailbox: Mailbox, former: str, email: str) -> str:
    """Change the email of a user, and return the code that undoes this."""
    assert confirm(person.client, code_of(person, mailbox, email)).status_code == 204
    return mailbox.deliver().code(former)


def profile(person: Person) -> tuple[str, str | None, bool]:
    """Return the email, the pending email and whether the email is verified."""
    found = person.get("/api/v1/me").json()
    return found["email"], found.get("pending_email"), found["email_verified"]


def purposes(database: Database) -> list[str]:
    with database.transaction() as db:
        return sorted(db.run(select(models.codes.c.purpose)).scalars())


@pytest.mark.usefixtures("still")
def test_the_new_address_confirms_a_change(
    client: TestClient, alice: Person, mailbox: Mailbox, database: Database
) -> None:
    response = request(alice)
    assert response.status_code == 202
    assert response.json() == {"email": NEW, "expires_at": clock.rfc3339(clock.now() + HOUR)}
    assert profile(alice) == (OLD, NEW, False)
    server = mailbox.deliver()
    assert server.to == [NEW]
    # Until then, the current email logs in.
    assert alice.log_in(username=NEW).status_code == 401
    assert alice.log_in(username=OLD).status_code == 200
    assert confirm(client, server.code()).status_code == 204
    # The session goes on.
    assert profile(alice) == (NEW, None, True)
    assert mailbox.deliver().to == [NEW, OLD]
    assert alice.log_in(username=OLD).status_code == 401
    assert alice.log_in(username=NEW).status_code == 200
    assert purposes(database) == ["email_revert"]


def test_the_former_address_undoes_a_change(
    client: TestClient, alice: Person, mailbox: Mailbox, database: Database
) -> None:
    code = change(alice, mailbox, OLD, NEW)
    assert request(alice, NEWER).status_code == 202
    assert request_reset(client, NEW).status_code == 202
    taken = mailbox.deliver().code(NEWER), mailbox.server.code(NEW)
    assert revert(client, code).status_code == 204
    assert_problem(revert(client, code), 403, "INVALID_CODE")
    assert_problem(confirm(client, taken[0]), 403, "INVALID_CODE")
    assert_problem(reset(client, taken[1]), 403, "INVALID_CODE")
    # Neither the sessions nor the password work, so the thief cannot do it again.
    assert alice.get("/protected").status_code == 401
    assert_problem(alice.refresh(), 401, "INVALID_REFRESH_TOKEN")
    assert_problem(alice.log_in(username="alice"), 401, "INVALID_CREDENTIALS")
    assert purposes(database) == []
    with database.transaction() as db:
        assert db.run(select(models.known_places.c.digest)).scalars().all() == []
    assert mailbox.deliver().to[-1] == OLD
    assert reset(client, mailbox.server.code(OLD)).status_code == 204
    assert alice.log_in(username=OLD, password=PASSWORD).status_code == 200
    assert profile(alice) == (OLD, None, True)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["oldest", "newest"])
def test_a_second_change_does_not_help_a_thief(
    client: TestClient, travel: Travel, alice: Person, mailbox: Mailbox, database: Database, first: str
) -> None:
    oldest = change(alice, mailbox, OLD, NEW)
    # The clock of another host is late.
    travel(-HOUR)
    alice.log_in()
    newest = change(alice, mailbox, NEW, NEWER)
    assert purposes(database) == ["email_revert"] * 2
    if first == "newest":
        assert revert(client, newest).status_code == 204
        assert reset(client, mailbox.deliver().code(NEW)).status_code == 204
        assert alice.log_in(password=PASSWORD).status_code == 200
        assert profile(alice) == (NEW, None, True)
    # The owner undoes both changes, and no later code works afterwards.
    assert revert(client, oldest).status_code == 204
    assert purposes(database) == []
    assert_problem(revert(client, newest), 403, "INVALID_CODE")
    assert reset(client, mailbox.deliver().code(OLD)).status_code == 204
    assert alice.log_in(password=PASSWORD).status_code == 200
    assert profile(alice) == (OLD, None, True)


@on_sqlite
def test_a_notice_that_waits_brings_no_code_after_the_owner_has_undone_all(
    client: TestClient, alice: Person, mailbox: Mailbox
) -> None:
    oldest = change(alice, mailbox, OLD, NEW)
    assert confirm(client, code_of(alice, mailbox, NEWER)).status_code == 204
    assert revert(client, oldest).status_code == 204
    assert mailbox.deliver().to == [NEW, OLD, NEWER, OLD]
    assert "reset" in mailbox.server.message()["Subject"]


@pytest.mark.slow
@pytest.mark.parametrize("thief", ["password", "reset", "disabled", "deletion"])
@on_sqlite
def test_nothing_that_a_thief_can_do_ends_the_code_that_undoes_a_change(
    client: TestClient, alice: Person, mailbox: Mailbox, database: Database, thief: str
) -> None:
    code = change(alice, mailbox, OLD, NEW)
    if thief == "password":
        body = {"current_password": alice.password, "new_password": PASSWORD}
        assert alice.put("/api/v1/me/password", json=body).status_code == 204
    elif thief == "reset":
        assert request_reset(client, NEW).status_code == 202
        assert reset(client, mailbox.deliver().code(NEW)).status_code == 204
    else:
        with database.transaction() as db:
            users.disable(db, "alice")
            if thief == "deletion":
                db.run(update(models.users).values(deletes_at=clock.now() + WEEK))
    if thief == "disabled":
        assert_problem(revert(client, code), 403, "INVALID_CODE")
        with database.transaction() as db:
            users.enable(db, "alice")
    assert revert(client, code).status_code == 204
    assert reset(client, mailbox.deliver().code(OLD)).status_code == 204
    assert alice.log_in(username=OLD, password=PASSWORD).status_code == 200
    with database.transaction() as db:
        assert db.run(select(models.users.c.deletes_at)).scalars().all() == [None]


@pytest.mark.parametrize("email", [OLD, "alice@EXAMPLE.com"])
@on_sqlite
def test_the_current_email_is_a_conflict_and_keeps_a_pending_change(
    client: TestClient, alice: Person, mailbox: Mailbox, email: str
) -> None:
    code = code_of(alice, mailbox)
    assert_problem(request(alice, email), 409, "EMAIL_TAKEN")
    assert confirm(client, code).status_code == 204


@on_sqlite
def test_a_user_changes_the_spelling_of_the_email(client: TestClient, alice: Person, mailbox: Mailbox) -> None:
    assert confirm(client, code_of(alice, mailbox, "Alice@example.com")).status_code == 204
    assert profile(alice)[0] == "Alice@example.com"


@on_sqlite
def test_a_wrong_password_changes_nothing(alice: Person, mailbox: Mailbox, events: Events) -> None:
    assert_problem(request(alice, password="wrong"), 403, "WRONG_PASSWORD")
    assert_problem(request(alice, OLD, password="wrong"), 403, "WRONG_PASSWORD")
    assert profile(alice) == (OLD, None, False)
    assert mailbox.deliver().to == []
    assert events()[-1] == ("email_change_failed", {"user_id": alice.id})


def test_a_taken_address_gets_the_response_of_a_free_one(
    client: TestClient, alice: Person, bobby: Person, mailbox: Mailbox, database: Database
) -> None:
    found = []
    # The first request of a process reads the signing keys.
    for email in ("other@example.com", bobby.email, "nobody@example.com"):
        with statements() as sent:
            response = request(alice, email)
        own = [statement for statement in sent if re.search("users|codes|outbox", statement)]
        found.append((response.status_code, response.json().keys(), response.headers.keys(), own))
        assert cancel(alice).status_code == 204
    assert found[1] == found[2]
    assert any("INSERT INTO outbox" in statement for statement in found[1][3])
    # A cancelled change sends no mail.
    assert mailbox.deliver().to == []
    assert request(alice, "BOBBY@example.com").status_code == 202
    message = mailbox.deliver().message()
    assert (message["To"], message["Subject"]) == (bobby.email, "Charter: you already have an account")
    assert alice.email not in text_of(message)
    assert mailbox.states()[0][:2] == ("confirm_new_email", "sent")


@on_sqlite
def test_a_request_for_another_address_replaces_the_one_before(
    client: TestClient, alice: Person, mailbox: Mailbox
) -> None:
    replaced = code_of(alice, mailbox)
    assert request(alice, "waiting@example.com").status_code == 202
    first, second = code_of(alice, mailbox, NEWER), code_of(alice, mailbox, NEWER)
    assert mailbox.server.to == [NEW, NEWER, NEWER]
    assert_problem(confirm(client, replaced), 403, "INVALID_CODE")
    assert profile(alice) == (OLD, NEWER, False)
    # Both mails to one address work, because the first one may arrive late.
    assert confirm(client, first).status_code == 204
    assert_problem(confirm(client, second), 403, "INVALID_CODE")


@on_sqlite
def test_a_code_belongs_to_the_pending_address(
    client: TestClient, alice: Person, mailbox: Mailbox, database: Database
) -> None:
    code = code_of(alice, mailbox)
    # As if another request had won a race.
    with database.transaction() as db:
        db.run(update(models.users).values(pending_email=NEWER))
    assert_problem(confirm(client, code), 403, "INVALID_CODE")


@on_sqlite
def test_a_cancelled_change_is_over(client: TestClient, alice: Person, mailbox: Mailbox) -> None:
    assert_problem(cancel(alice), 404, "NOT_FOUND")
    code = code_of(alice, mailbox)
    assert cancel(alice).status_code == 204
    assert_problem(cancel(alice), 404, "NOT_FOUND")
    assert profile(alice) == (OLD, None, False)
    assert_problem(confirm(client, code), 403, "INVALID_CODE")
    code_of(alice, mailbox)
    assert_problem(confirm(client, code), 403, "INVALID_CODE")


@on_sqlite
def test_codes_that_went_to_the_former_address_end(
    client: TestClient, alice: Person, mailbox: Mailbox, database: Database
) -> None:
    assert request_reset(client, OLD).status_code == 202
    code = mailbox.deliver().code(OLD)
    # A mail that is still waiting brings no code either.
    assert request_reset(client, OLD).status_code == 202
    confirmation = code_of(alice, mailbox)
    assert confirm(client, confirmation).status_code == 204
    assert purposes(database) == ["email_revert"]
    assert_problem(reset(client, code), 403, "INVALID_CODE")
    assert request_reset(client, OLD).status_code == 202
    before = len(mailbox.server.mails)
    assert mailbox.deliver().to[before:] == [OLD]
    assert "email was changed" in mailbox.server.message()["Subject"]


@on_sqlite
def test_a_code_works_for_its_own_purpose_only(client: TestClient, alice: Person, mailbox: Mailbox) -> None:
    confirmation = code_of(alice, mailbox)
    for use in (revert, reset):
        assert_problem(use(client, confirmation), 403, "INVALID_CODE")
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        path = f"/api/v1/auth/email/confirm?code={confirmation}"
        assert client.request(method, path).status_code == 405
    assert confirm(client, f" {confirmation.lower().replace('-', '')} ").status_code == 204
    undoing = mailbox.deliver().code(OLD)
    for use in (confirm, reset):
        assert_problem(use(client, undoing), 403, "INVALID_CODE")


@pytest.mark.parametrize(("use", "life"), [("confirm", HOUR), ("revert", WEEK)])
@pytest.mark.parametrize("early", [timedelta(seconds=1), timedelta()])
@on_sqlite
def test_a_code_expires(
    client: TestClient, travel: Travel, alice: Person, mailbox: Mailbox, use: str, life: timedelta, early: timedelta
) -> None:
    code = code_of(alice, mailbox) if use == "confirm" else change(alice, mailbox, OLD, NEW)
    travel(life - early)
    response = client.post(f"/api/v1/auth/email/{use}", json={"code": code})
    assert response.status_code == (204 if early else 403)


def test_an_address_that_was_taken_meanwhile_is_a_conflict(
    client: TestClient, alice: Person, mailbox: Mailbox, database: Database
) -> None:
    code = code_of(alice, mailbox)
    thief = Person(client, "thief")
    form = {"username": "thief", "email": NEW, "password": thief.password}
    assert client.post("/api/v1/auth/signup", json=form).status_code == 201
    assert_problem(confirm(client, code), 409, "EMAIL_TAKEN")
    assert profile(alice) == (OLD, NEW, False)
    _free(database, "thief")
    assert confirm(client, code).status_code == 204
    undoing = mailbox.deliver().code(OLD)
    second = newcomer(client, "second")
    assert confirm(client, code_of(second, mailbox, OLD)).status_code == 204
    assert_problem(revert(client, undoing), 409, "EMAIL_TAKEN")
    assert profile(alice)[0] == NEW
    _free(database, "second")
    assert revert(client, undoing).status_code == 204


def _free(database: Database, username: str) -> None:
    email = f"{username}@example.com"
    with database.transaction() as db:
        db.run(update(models.users).where(models.users.c.username == username).values(email=email, email_key=email))


def test_one_of_20_simultaneous_confirmations_wins(
    client: TestClient, alice: Person, mailbox: Mailbox, database: Database
) -> None:
    code = code_of(alice, mailbox)
    responses = at_once(*[partial(confirm, client, code)] * 20)
    assert sorted(response.status_code for response in responses) == [204] + [403] * 19
    assert mailbox.deliver().to == [NEW, OLD]
    undoing = mailbox.server.code(OLD)
    responses = at_once(*[partial(revert, client, undoing)] * 20)
    assert sorted(response.status_code for response in responses) == [204] + [403] * 19
    assert mailbox.deliver().to == [NEW, OLD, OLD]


def test_one_of_two_users_gets_an_address_that_both_confirm(
    client: TestClient, alice: Person, bobby: Person, mailbox: Mailbox
) -> None:
    codes = [code_of(person, mailbox) for person in (alice, bobby)]
    responses = at_once(*(partial(confirm, client, code) for code in codes))
    assert sorted(response.status_code for response in responses) == [204, 409]


@on_sqlite
def test_a_new_password_ends_a_pending_change(client: TestClient, alice: Person, mailbox: Mailbox) -> None:
    code = code_of(alice, mailbox)
    body = {"current_password": alice.password, "new_password": PASSWORD}
    assert alice.put("/api/v1/me/password", json=body).status_code == 204
    assert_problem(confirm(client, code), 403, "INVALID_CODE")


@pytest.mark.parametrize("typed", ["stra\u00dfe@example.com", "STRASSE@example.com", "\uff53trasse@example.com"])
@on_sqlite
def test_spellings_of_an_address_belong_to_one_user(
    client: TestClient, alice: Person, bobby: Person, mailbox: Mailbox, typed: str
) -> None:
    assert confirm(client, code_of(alice, mailbox, "strasse@example.com")).status_code == 204
    mailbox.deliver()
    assert request(bobby, typed).status_code == 202
    message = mailbox.deliver().message()
    assert (message["To"], message["Subject"]) == ("strasse@example.com", "Charter: you already have an account")


@on_sqlite
def test_the_database_and_the_log_hold_no_code(
    client: TestClient, alice: Person, mailbox: Mailbox, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    code = code_of(alice, mailbox)
    assert confirm(client, code).status_code == 204
    undoing = mailbox.deliver().code(OLD)
    with database.transaction() as db:
        stored = repr([*db.run(select(models.outbox)), *db.run(select(models.codes))])
    logged = " ".join(repr(vars(record)) for record in caplog.records if record.name.startswith("charter"))
    for secret in (code, undoing):
        assert secret not in stored + logged
        assert secret.replace("-", "") not in stored
    assert NEW not in logged
    assert OLD not in logged
