"""The reset of a password by mail."""

import re
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import event, select, update
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from api import clock, models
from api.services import codes, users
from api.storage.database import Database, Db
from tests.support.concurrency import at_once
from tests.support.databases import on_postgresql
from tests.support.mail_server import text_of
from tests.support.mailbox import Mailbox
from tests.support.person import Person, newcomer
from tests.support.problems import assert_problem
from tests.support.rows import count
from tests.support.types import Events, Travel

NEW = "a better battery for this horse"
HOUR = timedelta(hours=1)


def request(client: httpx.Client, email: str = "alice@example.com", **headers: str) -> httpx.Response:
    return client.post("/api/v1/auth/password/request", json={"email": email}, headers=headers)


def reset(client: httpx.Client, code: str, password: str = NEW) -> httpx.Response:
    return client.post("/api/v1/auth/password/reset", json={"code": code, "new_password": password})


def code_of(client: httpx.Client, mailbox: Mailbox, person: Person) -> str:
    """Request a reset, deliver the mail, and return its code."""
    assert request(client, person.email).status_code == 202
    return mailbox.deliver().code(person.email)


def test_a_code_from_a_mail_sets_a_new_password(client: TestClient, alice: Person, mailbox: Mailbox) -> None:
    response = request(client)
    assert (response.status_code, response.json()) == (202, {"expires_in": 3600})
    server = mailbox.deliver()
    assert server.to == ["alice@example.com"]
    assert reset(client, server.code()).status_code == 204
    # All sessions have ended, and nothing was logged in.
    assert alice.get("/protected").status_code == 401
    assert_problem(alice.refresh(), 401, "INVALID_REFRESH_TOKEN")
    assert_problem(alice.log_in(), 401, "INVALID_CREDENTIALS")
    assert alice.log_in(password=NEW).status_code == 200


def test_a_mail_tells_the_user_about_the_new_password(client: TestClient, alice: Person, mailbox: Mailbox) -> None:
    reset(client, code_of(client, mailbox, alice))
    message = mailbox.deliver().message()
    assert (message["To"], message["Subject"]) == (alice.email, "Charter: your password was changed")
    body = {"current_password": NEW, "new_password": alice.password}
    alice.log_in(password=NEW)
    assert client.put("/api/v1/me/password", json=body, headers=alice.headers).status_code == 204
    assert mailbox.deliver().to == [alice.email] * 3


@pytest.mark.parametrize("spelling", ["{}", " {} ", "{} - ", "lower", "look-alikes", "no hyphens"])
def test_each_spelling_of_a_code_works(client: TestClient, alice: Person, mailbox: Mailbox, spelling: str) -> None:
    code = code_of(client, mailbox, alice)
    ways = {
        "lower": code.lower(),
        "look-alikes": code.replace("0", "O").replace("1", "l"),
        "no hyphens": code.replace("-", ""),
    }
    assert reset(client, ways.get(spelling, spelling.format(code))).status_code == 204


@pytest.mark.parametrize(
    "code", ["K7QF-3M9T-XD4", "K7QF-3M9T-XD4BB", "K7QF-3M9T-XD4U", "K7QF-3M9T-XD4\uff11", "K7QF-3M9T-XD4\x00", "", 7]
)
def test_a_text_that_is_no_code_is_a_fault(client: TestClient, code: object) -> None:
    response = client.post("/api/v1/auth/password/reset", json={"code": code, "new_password": NEW})
    assert_problem(response, 400, "INVALID_INPUT")
    assert {fault["pointer"] for fault in response.json()["errors"]} == {"/body/code"}


def test_a_code_works_once(client: TestClient, alice: Person, mailbox: Mailbox, database: Database) -> None:
    code = code_of(client, mailbox, alice)
    assert_problem(reset(client, "0000-0000-0000"), 403, "INVALID_CODE")
    assert reset(client, code).status_code == 204
    assert_problem(reset(client, code), 403, "INVALID_CODE")
    assert count(database, models.codes) == 0


def test_one_of_20_simultaneous_resets_wins(client: TestClient, alice: Person, mailbox: Mailbox) -> None:
    code = code_of(client, mailbox, alice)
    passwords = [f"{NEW} {number}" for number in range(20)]
    responses = at_once(*(lambda password=password: reset(client, code, password) for password in passwords))
    assert sorted(response.status_code for response in responses) == [204] + [403] * 19
    (winner,) = [password for password, response in zip(passwords, responses, strict=True) if response.is_success]
    assert alice.log_in(password=winner).status_code == 200


@on_postgresql
@pytest.mark.parametrize("step", ["use", "discard"])
def test_no_code_is_issued_while_a_reset_ends_all_codes(
    client: TestClient, alice: Person, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    code = code_of(client, mailbox, alice)
    end = getattr(codes, step)

    def end_locked(db: Db, *given: object) -> None:
        # A delivery worker locks the user before it issues a code.
        with mailbox.database.transaction() as other, pytest.raises(OperationalError, match="could not obtain lock"):
            other.run(select(models.users).with_for_update(nowait=True)).all()
        end(db, *given)

    monkeypatch.setattr(codes, step, end_locked)
    assert reset(client, code).status_code == 204


@pytest.mark.parametrize("again", [True, False])
def test_a_disabled_user_ends_all_codes(
    client: TestClient, alice: Person, mailbox: Mailbox, database: Database, again: bool
) -> None:
    code = code_of(client, mailbox, alice)
    with database.transaction() as db:
        users.disable(db, "alice")
    assert count(database, models.codes) == 0
    if again:
        with database.transaction() as db:
            users.enable(db, "alice")
    assert_problem(reset(client, code), 403, "INVALID_CODE")


def test_a_weak_password_leaves_the_code_valid(client: TestClient, alice: Person, mailbox: Mailbox) -> None:
    code = code_of(client, mailbox, alice)
    assert_problem(reset(client, code, "password123"), 400, "INVALID_INPUT")
    assert_problem(reset(client, code, "my name is alice"), 409, "PASSWORD_CONTAINS_NAME")
    assert reset(client, code).status_code == 204


@pytest.mark.parametrize(("later", "status"), [(HOUR - timedelta(seconds=1), 204), (HOUR, 403)])
def test_a_code_works_for_an_hour(
    client: TestClient, travel: Travel, alice: Person, mailbox: Mailbox, later: timedelta, status: int
) -> None:
    code = code_of(client, mailbox, alice)
    travel(later)
    assert reset(client, code).status_code == status


def test_a_second_request_sends_the_same_code(
    client: TestClient, travel: Travel, alice: Person, mailbox: Mailbox, database: Database
) -> None:
    first = code_of(client, mailbox, alice)
    assert code_of(client, mailbox, alice) == first
    assert count(database, models.codes) == 1
    travel(HOUR / 2)
    second = code_of(client, mailbox, alice)
    assert second != first
    # The first mail may arrive late.
    assert reset(client, first).status_code == 204
    assert_problem(reset(client, second), 403, "INVALID_CODE")


def test_a_mail_that_is_tried_again_late_has_the_same_code(
    client: TestClient, travel: Travel, alice: Person, mailbox: Mailbox
) -> None:
    assert request(client).status_code == 202
    mailbox.server.on_data = lambda _: "451 later"
    mailbox.deliver()
    travel(HOUR - timedelta(minutes=1))
    mailbox.server.reset()
    assert reset(client, mailbox.deliver().code()).status_code == 204


def test_a_change_of_the_password_ends_codes(client: TestClient, alice: Person, mailbox: Mailbox) -> None:
    code = code_of(client, mailbox, alice)
    body = {"current_password": alice.password, "new_password": NEW}
    assert client.put("/api/v1/me/password", json=body, headers=alice.headers).status_code == 204
    assert_problem(reset(client, code), 403, "INVALID_CODE")


def test_a_code_belongs_to_its_address(client: TestClient, alice: Person, mailbox: Mailbox, database: Database) -> None:
    code = code_of(client, mailbox, alice)
    with database.transaction() as db:
        db.run(update(models.users).values(email="other@example.com", email_key="other@example.com"))
    assert_problem(reset(client, code), 403, "INVALID_CODE")


def test_a_disabled_user_gets_no_mail_and_no_reset(
    client: TestClient, alice: Person, mailbox: Mailbox, database: Database
) -> None:
    code = code_of(client, mailbox, alice)
    with database.transaction() as db:
        users.disable(db, "alice")
    assert_problem(reset(client, code), 403, "INVALID_CODE")
    assert request(client).status_code == 202
    assert len(mailbox.deliver().mails) == 1


def test_requests_for_all_users_are_alike(
    client: TestClient, alice: Person, bobby: Person, mailbox: Mailbox, database: Database
) -> None:
    carol = newcomer(client, "carol")
    with database.transaction() as db:
        users.disable(db, "bobby")
        db.run(update(models.users).where(models.users.c.username == "carol").values(email_verified_at=clock.now()))
    found = {}
    for email in (alice.email, bobby.email, carol.email, "nobody@example.com"):
        statements: list[str] = []
        note = lambda *given: statements.append(given[2])  # noqa: E731, B023
        event.listen(database.engine.__class__, "before_cursor_execute", note)
        try:
            response = request(client, email)
        finally:
            event.remove(database.engine.__class__, "before_cursor_execute", note)
        names = {name: len(value) for name, value in response.headers.items()}
        found[email] = response.status_code, response.content, names, statements
    assert found[alice.email] == found[bobby.email] == found[carol.email] == found["nobody@example.com"]
    assert len(found[alice.email][3]) > 0
    assert mailbox.deliver().to == [alice.email, carol.email]
    assert count(database, models.outbox) == 2


@pytest.mark.parametrize("typed", ["ALICE@Example.com", "alice@example.com", "\uff41lice@example.com"])
def test_a_mail_goes_to_the_stored_address(client: TestClient, alice: Person, mailbox: Mailbox, typed: str) -> None:
    assert request(client, typed).status_code == 202
    assert mailbox.deliver().to == ["alice@example.com"]


@pytest.mark.parametrize("typed", ["al\u0131ce@example.com", "alice@ex\u00e4mple.com"])
def test_an_address_that_looks_alike_gets_no_mail(
    client: TestClient, alice: Person, mailbox: Mailbox, typed: str
) -> None:
    assert request(client, typed).status_code == 202
    assert mailbox.deliver().to == []


@pytest.mark.parametrize(
    ("accepted", "subject"),
    [
        ("de-AT, en;q=0.5", "Charter: Passwort zur\u00fccksetzen"),
        ("fr;q=0.5, de", "Charter: Passwort zur\u00fccksetzen"),
        ("fr, de;q=0, en", "Charter: reset your password"),
        ("fr", "Charter: reset your password"),
        ("de" + " " * 300, "Charter: Passwort zur\u00fccksetzen"),
        (",".join(["fr"] * 100) + ",de", "Charter: reset your password"),
        ("de," + ",".join(["fr"] * 100), "Charter: Passwort zur\u00fccksetzen"),
        ("d" * 300, "Charter: reset your password"),
    ],
)
def test_a_mail_has_the_language_of_its_request(
    client: TestClient, alice: Person, mailbox: Mailbox, accepted: str, subject: str
) -> None:
    assert request(client, **{"Accept-Language": accepted}).status_code == 202
    message = mailbox.deliver().message()
    assert message["Subject"] == subject
    assert message["Content-Language"] == ("de" if "Passwort" in subject else "en")


def test_a_failed_request_sends_no_mail(client: TestClient, alice: Person, mailbox: Mailbox) -> None:
    body = {"current_password": "not the right password", "new_password": NEW}
    assert client.put("/api/v1/me/password", json=body, headers=alice.headers).status_code == 403
    assert request(client, "not an address").status_code == 400
    assert mailbox.deliver().to == []


def test_only_a_post_uses_a_code(client: TestClient, alice: Person, mailbox: Mailbox) -> None:
    code = code_of(client, mailbox, alice)
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH"):
        assert client.request(method, f"/api/v1/auth/password/reset?code={code}").status_code == 405
    assert reset(client, code).status_code == 204


def test_the_database_and_the_log_hold_no_code(
    client: TestClient, alice: Person, mailbox: Mailbox, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    code = code_of(client, mailbox, alice)
    with database.transaction() as db:
        rows = [*db.run(select(models.outbox)), *db.run(select(models.codes))]
    assert len(rows) == 2
    stored = repr(rows)
    assert code not in stored
    assert code.replace("-", "") not in stored
    assert alice.email not in repr(rows[0])
    logged = " ".join(repr(vars(record)) for record in caplog.records if record.name.startswith("charter"))
    assert "mail_sent" in logged
    assert code not in logged
    assert alice.email not in logged


def test_events_are_logged(client: TestClient, alice: Person, mailbox: Mailbox, events: Events) -> None:
    reset(client, code_of(client, mailbox, alice))
    assert [name for name, _ in events()][-3:] == ["password_reset_requested", "session_revoked", "password_reset"]
    assert events()[-1][1]["user_id"] == alice.id


def test_mails_show_the_code_and_no_link(client: TestClient, alice: Person, mailbox: Mailbox) -> None:
    code = code_of(client, mailbox, alice)
    page = text_of(mailbox.server.message(), "html")
    assert code in page
    assert not re.search("<script|<img|https?:", page)


def test_a_used_code_does_not_work_again_when_its_mail_is_sent_again(
    client: TestClient, alice: Person, mailbox: Mailbox, travel: Travel
) -> None:
    found: list[str] = []

    def take_and_refuse(_: str) -> str:
        found.append(mailbox.server.code(alice.email))
        return "451 later"

    mailbox.server.on_data = take_and_refuse
    assert request(client).status_code == 202
    mailbox.deliver()
    assert reset(client, found[0]).status_code == 204
    travel(timedelta(minutes=5))
    mailbox.deliver()
    assert len(found) == 1
    assert_problem(reset(client, found[0]), 403, "INVALID_CODE")
