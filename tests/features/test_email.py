"""The verification of an email, and users whose email is not verified."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from time import sleep

import httpx
import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from api import models
from api.clock import now
from api.config import Config
from api.storage.database import Database
from tests.features.test_password_reset import code_of as reset_code_of
from tests.features.test_password_reset import reset
from tests.support.bcrypt_spy import Bcrypt
from tests.support.concurrency import at_once
from tests.support.databases import on_sqlite
from tests.support.mail_server import text_of
from tests.support.mailbox import Mailbox
from tests.support.person import Person, newcomer
from tests.support.problems import assert_problem
from tests.support.rows import count
from tests.support.types import Events, Travel
from tests.support.workers import at, worker

DAY = timedelta(days=1)
SENDS_AGAIN = timedelta(minutes=15)


def request(person: Person, **headers: str) -> httpx.Response:
    return person.client.post("/api/v1/me/email/verification", headers=person.headers | headers)


def verify(client: httpx.Client, code: str) -> httpx.Response:
    return client.post("/api/v1/auth/email/verify", json={"code": code})


def is_verified(person: Person) -> bool:
    return bool(person.get("/api/v1/me").json()["email_verified"])


@pytest.fixture
def mailbox(mailbox: Mailbox) -> Mailbox:
    """The mails of the application, also those of sign-ups."""
    return replace(mailbox, verifies=True)


@pytest.fixture
def strict(config: Config) -> Iterator[TestClient]:
    """A worker that refuses users whose email is not verified."""
    with worker(replace(config, unverified="refused")) as client:
        yield client


def test_the_mail_of_a_sign_up_verifies_the_email(alice: Person, mailbox: Mailbox, events: Events) -> None:
    assert not is_verified(alice)
    server = mailbox.deliver()
    assert (server.to, server.message()["Subject"]) == ([alice.email], "Charter: verify your email")
    assert text_of(server.message()).startswith("This address was used for a sign-up at Charter. If that was not you")
    # Another person may have asked for the mail, so it must not carry a text of that person.
    assert alice.username not in text_of(server.message()).replace(alice.email, "")
    assert verify(alice.client, server.code()).status_code == 204
    assert is_verified(alice)
    assert events()[-1] == ("email_verified", {"user_id": alice.id})
    assert_problem(verify(alice.client, server.code()), 403, "INVALID_CODE")
    assert alice.log_in().status_code == 200
    assert is_verified(alice)


@on_sqlite
def test_the_mail_of_a_sign_up_has_the_language_of_the_request(client: TestClient, mailbox: Mailbox) -> None:
    alice = Person(client, "alice")
    client.post("/api/v1/auth/signup", json=alice.form, headers={"Accept-Language": "de-AT"})
    assert mailbox.deliver().message()["Subject"] == "Charter: E-Mail-Adresse bestätigen"


def test_a_second_request_sends_the_same_code(
    travel: Travel, alice: Person, mailbox: Mailbox, database: Database
) -> None:
    first = mailbox.deliver().code()
    response = request(alice)
    assert (response.status_code, response.json()) == (202, {"expires_in": 86400})
    assert mailbox.deliver().code() == first
    assert count(database, models.codes) == 1
    travel(DAY / 2)
    alice.log_in()
    request(alice)
    second = mailbox.deliver().code()
    assert second != first
    assert [verify(alice.client, code).status_code for code in (first, second)] == [204, 204]
    assert_problem(request(alice), 409, "ALREADY_VERIFIED")
    assert len(mailbox.deliver().mails) == 3


def test_no_mail_follows_once_the_email_is_verified(alice: Person, mailbox: Mailbox, database: Database) -> None:
    code = mailbox.deliver().code()
    request(alice)
    verify(alice.client, code)
    assert len(mailbox.deliver().mails) == 1
    assert count(database, models.outbox) == 1


@pytest.mark.parametrize(("later", "status"), [(DAY - timedelta(seconds=1), 204), (DAY, 403)])
@on_sqlite
def test_a_code_verifies_for_a_day(
    travel: Travel, alice: Person, mailbox: Mailbox, later: timedelta, status: int
) -> None:
    code = mailbox.deliver().code()
    travel(later)
    assert verify(alice.client, code).status_code == status


def test_codes_of_each_purpose_have_their_own_lifetime(travel: Travel, alice: Person, mailbox: Mailbox) -> None:
    verifying = mailbox.deliver().code()
    resetting = reset_code_of(alice.client, mailbox, alice)
    assert_problem(verify(alice.client, resetting), 403, "INVALID_CODE")
    assert_problem(reset(alice.client, verifying), 403, "INVALID_CODE")
    travel(timedelta(hours=2))
    assert_problem(reset(alice.client, resetting), 403, "INVALID_CODE")
    assert verify(alice.client, verifying).status_code == 204


def test_a_verification_leaves_other_codes_valid(alice: Person, mailbox: Mailbox) -> None:
    verifying = mailbox.deliver().code()
    resetting = reset_code_of(alice.client, mailbox, alice)
    assert verify(alice.client, verifying).status_code == 204
    assert reset(alice.client, resetting).status_code == 204


def test_a_code_verifies_only_the_address_it_was_sent_to(alice: Person, mailbox: Mailbox, database: Database) -> None:
    code = mailbox.deliver().code()
    request(alice)
    with database.transaction() as db:
        db.run(update(models.users).values(email="other@example.com", email_key="other@example.com"))
    assert_problem(verify(alice.client, code), 403, "INVALID_CODE")
    assert not is_verified(alice)
    # Nor does a mail for the former address follow.
    assert len(mailbox.deliver().mails) == 1


def test_a_disabled_user_cannot_verify(alice: Person, mailbox: Mailbox, database: Database) -> None:
    code = mailbox.deliver().code()
    request(alice)
    with database.transaction() as db:
        # `users.disable` would delete the code as well.
        db.run(update(models.users).values(disabled_at=now()))
    assert_problem(verify(alice.client, code), 403, "INVALID_CODE")
    assert len(mailbox.deliver().mails) == 1


def test_one_of_20_simultaneous_verifications_wins(alice: Person, mailbox: Mailbox) -> None:
    code = mailbox.deliver().code()
    responses = at_once(*[lambda: verify(alice.client, code)] * 20)
    assert sorted(response.status_code for response in responses) == [204] + [403] * 19


@on_sqlite
def test_each_spelling_of_a_code_verifies(alice: Person, mailbox: Mailbox, database: Database) -> None:
    code = mailbox.deliver().code()
    for wrong in (code[:-1], f"{code}B", f"{code[:-1]}U", f"{code[:-1]}\uff11", f"{code[:-1]}\x00"):
        response = verify(alice.client, wrong)
        assert_problem(response, 400, "INVALID_INPUT")
        assert {fault["pointer"] for fault in response.json()["errors"]} == {"/body/code"}
    assert verify(alice.client, f" {code.lower().replace('-', '').replace('0', 'o').replace('1', 'l')} ").is_success


@on_sqlite
def test_only_a_post_verifies(alice: Person, mailbox: Mailbox) -> None:
    code = mailbox.deliver().code()
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH"):
        assert alice.client.request(method, f"/api/v1/auth/email/verify?code={code}").status_code == 405
    assert verify(alice.client, code).status_code == 204


def test_a_reset_verifies_the_email(alice: Person, mailbox: Mailbox, database: Database) -> None:
    code = mailbox.deliver().code()
    assert reset(alice.client, reset_code_of(alice.client, mailbox, alice)).status_code == 204
    alice.log_in(password="a better battery for this horse")
    assert is_verified(alice)
    assert_problem(verify(alice.client, code), 403, "INVALID_CODE")


def test_another_secret_ends_all_codes(config: Config, alice: Person, mailbox: Mailbox) -> None:
    code = mailbox.deliver().code()
    changed = replace(config, secret=bytes(range(64, 96)))
    with worker(changed) as client:
        assert_problem(verify(client, code), 403, "INVALID_CODE")
        moved = at(client, alice)
        moved.log_in()
        request(moved)
        again = replace(mailbox, config=changed).deliver().code()
        assert again != code
        assert_problem(verify(client, code), 403, "INVALID_CODE")
        assert verify(client, again).status_code == 204


@on_sqlite
def test_links_begin_with_the_setting_and_not_with_the_host(config: Config, mailbox: Mailbox) -> None:
    link = "https://app.example.com/{action}#code={code}"
    box = replace(mailbox, config=replace(config, link_url=link))
    with worker(box.config) as client:
        evil = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
        alice = Person(client, "alice")
        assert client.post("/api/v1/auth/signup", json=alice.form, headers=evil).status_code == 201
    message = box.deliver().message()
    assert f"https://app.example.com/verify-email#code={box.server.code()}" in text_of(message).splitlines()
    assert "evil" not in str(message)


def test_the_database_and_the_log_hold_no_code_that_verifies(
    alice: Person, mailbox: Mailbox, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    request(alice)
    code = mailbox.deliver().code()
    verify(alice.client, code)
    with database.transaction() as db:
        stored = repr([*db.run(select(models.outbox)), *db.run(select(models.codes))])
    logged = " ".join(repr(vars(record)) for record in caplog.records if record.name.startswith("charter"))
    assert "mail_sent" in logged
    for secret in (code, code.replace("-", "")):
        assert secret not in stored + logged
    assert alice.email not in logged


def test_an_unverified_user_is_refused_after_the_right_password(
    strict: TestClient, mailbox: Mailbox, events: Events
) -> None:
    alice = Person(strict, "alice")
    assert alice.sign_up().status_code == 201
    assert_problem(alice.log_in(password="not the right password"), 401, "INVALID_CREDENTIALS")
    assert_problem(alice.log_in(), 403, "EMAIL_UNVERIFIED")
    assert events()[-1] == ("log_in_refused", {"user_id": alice.id})
    assert verify(strict, mailbox.deliver().code()).status_code == 204
    assert alice.log_in().status_code == 200


def test_a_refused_user_gets_a_mail_every_15_minutes(
    strict: TestClient, travel: Travel, mailbox: Mailbox, database: Database
) -> None:
    alice = Person(strict, "alice")
    alice.sign_up()
    codes = []
    for wait in (timedelta(), SENDS_AGAIN - timedelta(seconds=1), timedelta(seconds=1), SENDS_AGAIN):
        travel(wait)
        assert {alice.log_in().status_code for _ in range(3)} == {403}
        mailbox.deliver()
        codes.append(mailbox.server.code())
    assert len(mailbox.server.mails) == len(set(codes)) == count(database, models.codes) == 3
    # A mail may arrive late.
    assert verify(strict, codes[0]).status_code == 204


def test_users_who_signed_up_elsewhere_keep_their_session(strict: TestClient, alice: Person) -> None:
    person = at(strict, alice)
    assert person.get("/protected").status_code == 200
    assert person.refresh().status_code == 200
    assert_problem(person.log_in(), 403, "EMAIL_UNVERIFIED")


def test_a_verification_during_the_log_in_counts(config: Config, database: Database, hashing: Bcrypt) -> None:
    def verify_meanwhile() -> None:
        with database.transaction() as db:
            db.run(update(models.users).values(email_verified_at=now()))
        # The worker learns of the change before it starts the session.
        sleep(0.15)

    with worker(config) as client:
        alice = newcomer(client, "alice")
        assert not is_verified(alice)
        hashing.meanwhile = verify_meanwhile
        alice.log_in()
        assert is_verified(alice)
