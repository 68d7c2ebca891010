"""Sign-up by mail: requests, completions, and the modes of `CHARTER_SIGN_UP`."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from sqlalchemy import event, select
from starlette.testclient import TestClient

from api import models
from api.config import Config
from api.services import users
from api.storage.database import Database
from tests.support.concurrency import at_once
from tests.support.databases import on_sqlite
from tests.support.mail_server import CODE, text_of
from tests.support.mailbox import Mailbox
from tests.support.person import FRESH, PASSWORD, Person, newcomer
from tests.support.problems import assert_problem
from tests.support.rows import count
from tests.support.types import Events, Travel
from tests.support.workers import worker

CAROL = "carol@example.com"
HOUR = timedelta(hours=1)


def request(client: httpx.Client, email: str = CAROL, **headers: str) -> httpx.Response:
    return client.post("/api/v1/auth/signup/request", json={"email": email}, headers=headers)


def complete(client: httpx.Client, code: str, username: str = "carol", password: str = PASSWORD) -> httpx.Response:
    body = {"code": code, "username": username, "password": password}
    return client.post("/api/v1/auth/signup/complete", json=body)


def code_of(client: httpx.Client, mailbox: Mailbox, email: str = CAROL) -> str:
    """Request a sign-up, deliver the mail, and return its code."""
    assert request(client, email).status_code == 202
    return mailbox.deliver().code(email)


@pytest.fixture
def verified(config: Config) -> Iterator[TestClient]:
    """A worker whose users prove their email before they sign up."""
    with worker(replace(config, sign_up="verified")) as client:
        yield client


def test_a_code_from_a_mail_completes_a_sign_up(
    verified: TestClient, mailbox: Mailbox, database: Database, events: Events
) -> None:
    response = request(verified)
    assert (response.status_code, response.json()) == (202, {"expires_in": 3600})
    server = mailbox.deliver()
    assert (server.to, server.message()["Subject"]) == ([CAROL], "Charter: complete your sign-up")
    assert count(database, models.users) == 0
    response = complete(verified, server.code(), "Carol")
    assert response.status_code == 201
    assert response.headers["location"] == "/api/v1/me"
    profile = response.json()
    known = {"id": profile["id"], "created_at": profile["created_at"]}
    assert profile == known | FRESH | {"username": "Carol", "email": CAROL, "email_verified": True}
    assert [name for name, _ in events()] == ["sign_up_requested", "user_created"]
    assert_problem(complete(verified, server.code(), "other"), 403, "INVALID_CODE")
    carol = Person(verified, "carol")
    assert carol.log_in().status_code == 200
    assert carol.get("/api/v1/me").json() == profile
    # The email is verified, so no further mail follows.
    assert replace(mailbox, verifies=True).deliver().to == [CAROL]


def test_requests_for_all_addresses_are_alike(
    client: TestClient, verified: TestClient, alice: Person, bobby: Person, mailbox: Mailbox, database: Database
) -> None:
    with database.transaction() as db:
        users.disable(db, "bobby")
    found = {}
    for email in (alice.email, bobby.email, CAROL):
        response, statements = with_statements(database, partial(request, verified, email))
        names = {name: len(value) for name, value in response.headers.items()}
        found[email] = response.status_code, response.content, names, statements
    assert found[alice.email] == found[bobby.email] == found[CAROL]
    assert len(found[CAROL][3]) > 0
    server = mailbox.deliver()
    assert server.to == [alice.email, bobby.email, CAROL]
    for registered in (alice.email, bobby.email):
        message = server.message(registered)
        assert message["Subject"] == "Charter: you already have an account"
        assert not CODE.search(text_of(message))
    assert count(database, models.codes) == 1


def with_statements(database: Database, call: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Return the result of a call, and the SQL statements of the application meanwhile."""
    statements: list[str] = []

    def note(*given: Any) -> None:
        statements.append(given[2])

    event.listen(database.engine.__class__, "before_cursor_execute", note)
    try:
        return call(), statements
    finally:
        event.remove(database.engine.__class__, "before_cursor_execute", note)


@on_sqlite
def test_mails_of_a_sign_up_have_the_language_of_the_request(
    client: TestClient, verified: TestClient, alice: Person, mailbox: Mailbox
) -> None:
    for email in (alice.email, CAROL):
        request(verified, email, **{"Accept-Language": "de"})
    server = mailbox.deliver()
    subjects = [server.message(email)["Subject"] for email in (alice.email, CAROL)]
    assert subjects == ["Charter: Sie haben bereits ein Konto", "Charter: Registrierung abschließen"]


def test_a_second_request_sends_the_same_code(
    verified: TestClient, travel: Travel, mailbox: Mailbox, database: Database
) -> None:
    first = code_of(verified, mailbox)
    assert code_of(verified, mailbox) == first
    assert count(database, models.codes) == 1
    travel(HOUR / 2)
    second = code_of(verified, mailbox)
    assert second != first
    # The first mail may arrive late. Then the email is taken.
    assert complete(verified, first).status_code == 201
    assert_problem(complete(verified, second, "other"), 409, "EMAIL_TAKEN")


def test_a_mail_that_is_sent_again_has_the_same_code(
    verified: TestClient, travel: Travel, mailbox: Mailbox, database: Database
) -> None:
    mailbox.server.on_data = lambda _: "451 try again"
    request(verified)
    mailbox.deliver()
    travel(HOUR * 2 / 3)
    mailbox.server.reset()
    assert complete(verified, mailbox.deliver().code()).status_code == 201


def test_workers_that_resolve_one_address_at_once_make_one_code(
    verified: TestClient, mailbox: Mailbox, database: Database
) -> None:
    for _ in range(10):
        request(verified)
    at_once(*[mailbox.deliver] * 4)
    assert len({tuple(CODE.findall(text_of(message))) for _, message in mailbox.server.mails}) == 1
    assert len(mailbox.server.mails) == 10
    assert count(database, models.codes) == 1


def test_another_spelling_of_an_address_gets_its_own_code(verified: TestClient, mailbox: Mailbox) -> None:
    # Both have the same canonical form, but a mail server may have a mailbox for each.
    strange = "\uff43arol@example.com"
    first, second = code_of(verified, mailbox), ""
    request(verified, strange)
    server = mailbox.deliver()
    second = server.code(server.to[-1])
    assert second != first
    assert complete(verified, second).json()["email"] == strange
    assert_problem(complete(verified, first, "other"), 409, "EMAIL_TAKEN")


def test_one_of_20_simultaneous_completions_wins(verified: TestClient, mailbox: Mailbox, database: Database) -> None:
    code = code_of(verified, mailbox)
    names = [f"carol{number}" for number in range(20)]
    responses = at_once(*(lambda name=name: complete(verified, code, name) for name in names))
    assert sorted(response.status_code for response in responses) == [201] + [403] * 19
    assert count(database, models.users) == 1


def test_one_of_two_codes_for_an_address_wins(verified: TestClient, travel: Travel, mailbox: Mailbox) -> None:
    first = code_of(verified, mailbox)
    travel(HOUR / 2)
    second = code_of(verified, mailbox)
    responses = at_once(lambda: complete(verified, first, "carol"), lambda: complete(verified, second, "other"))
    won, lost = sorted(responses, key=lambda response: response.status_code)
    assert won.status_code == 201
    assert_problem(lost, 409, "EMAIL_TAKEN")


def test_a_completion_that_fails_leaves_the_code_valid(
    client: TestClient, verified: TestClient, alice: Person, mailbox: Mailbox
) -> None:
    code = code_of(verified, mailbox)
    assert_problem(complete(verified, code, "ALICE"), 409, "USERNAME_TAKEN")
    assert_problem(complete(verified, code, password="my name is carol"), 409, "PASSWORD_CONTAINS_NAME")
    weak = complete(verified, code, "admin", "password123")
    assert_problem(weak, 400, "INVALID_INPUT")
    assert [fault["pointer"] for fault in weak.json()["errors"]] == ["/body/password", "/body/username"]
    assert_problem(complete(verified, "0000-0000-0000"), 403, "INVALID_CODE")
    assert complete(verified, code).status_code == 201


def test_an_address_that_was_taken_meanwhile_is_a_conflict(
    client: TestClient, verified: TestClient, mailbox: Mailbox
) -> None:
    code = code_of(verified, mailbox)
    newcomer(client, "carol")
    assert_problem(complete(verified, code, "other"), 409, "EMAIL_TAKEN")


@pytest.mark.parametrize(("later", "status"), [(HOUR - timedelta(seconds=1), 201), (HOUR, 403)])
@on_sqlite
def test_a_code_completes_a_sign_up_for_an_hour(
    verified: TestClient, travel: Travel, mailbox: Mailbox, later: timedelta, status: int
) -> None:
    code = code_of(verified, mailbox)
    travel(later)
    assert complete(verified, code).status_code == status


@on_sqlite
def test_another_secret_ends_codes_of_sign_ups(config: Config, verified: TestClient, mailbox: Mailbox) -> None:
    code = code_of(verified, mailbox)
    with worker(replace(config, sign_up="verified", secret=bytes(range(64, 96)))) as client:
        assert_problem(complete(client, code), 403, "INVALID_CODE")


@on_sqlite
def test_only_a_post_completes_a_sign_up(verified: TestClient, mailbox: Mailbox) -> None:
    code = code_of(verified, mailbox)
    for path in ("request", "complete"):
        for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH"):
            assert verified.request(method, f"/api/v1/auth/signup/{path}?code={code}").status_code == 405
    assert complete(verified, f" {code.lower().replace('-', '')} ").status_code == 201


MODES = {"open": [201, 403, 403], "verified": [403, 202, 403], "closed": [403, 403, 403]}


@pytest.mark.parametrize("mode", sorted(MODES))
@on_sqlite
def test_each_mode_offers_its_operations(config: Config, mode: str) -> None:
    with worker(replace(config, sign_up=mode)) as client:
        responses = [Person(client, "carol").sign_up(), request(client, "other@example.com")]
        # Invitations use this one in every mode.
        responses.append(complete(client, "0000-0000-0000"))
        document = client.get("/openapi.json").json()
    assert [response.status_code for response in responses] == MODES[mode]
    codes = {response.json()["code"] for response in responses[:2] if response.status_code == 403}
    assert codes == ({"SWITCHED_OFF"})
    for path, feature in (("/signup", "open"), ("/signup/request", "verified")):
        text = document["paths"][f"/api/v1/auth{path}"]["post"]["description"]
        assert (f"has switched the feature `{feature}-sign-up` off" in text) == (mode != feature)


@on_sqlite
def test_a_recipient_gets_one_mail_in_15_minutes(config: Config, alice: Person, travel: Travel) -> None:
    with worker(replace(config, sign_up="verified", rate_limits=())) as client:
        for email in (alice.email, CAROL):
            assert request(client, email).status_code == 202
            assert_problem(request(client, email.upper()), 429, "RATE_LIMITED")
        travel(timedelta(minutes=15))
        assert [request(client, email).status_code for email in (alice.email, CAROL)] == [202, 202]


def test_the_database_and_the_log_hold_no_code_of_a_sign_up(
    verified: TestClient, mailbox: Mailbox, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    code = code_of(verified, mailbox)
    with database.transaction() as db:
        stored = repr([*db.run(select(models.outbox)), *db.run(select(models.codes))])
    complete(verified, code)
    logged = " ".join(repr(vars(record)) for record in caplog.records if record.name.startswith("charter"))
    assert "mail_sent" in logged
    for secret in (code, code.replace("-", "")):
        assert secret not in stored + logged
    assert CAROL not in logged
