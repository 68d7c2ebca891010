"""Known places: a log-in from another place and device causes a notice, and the place is known from then on."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update
from starlette.testclient import TestClient

from api import models
from api.app import create_app
from api.config import Config
from api.services import notices
from api.storage.database import Database
from tests.support.concurrency import at_once
from tests.support.databases import on_sqlite
from tests.support.mail_server import text_of
from tests.support.mailbox import Mailbox
from tests.support.person import Person, newcomer
from tests.support.rows import count
from tests.support.types import Travel
from tests.support.workers import at, statements

HOME, OFFICE, ABROAD, NETWORK = "203.0.113.7", "203.0.113.8", "198.51.100.1", "2001:db8:1:2::1"
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"

Place = Callable[[str], TestClient]


@pytest.fixture
def place(config: Config) -> Iterator[Place]:
    """A function that returns a client of the service at an address."""
    app = create_app(config)
    # Only one client starts the tasks of the service.
    with TestClient(app):
        yield lambda address: TestClient(app, client=(address, 50_000), headers={"User-Agent": AGENT})


@pytest.fixture
def alice(place: Place, database: Database) -> Person:
    """A user who signed up at home, and has a verified email."""
    alice = newcomer(place(HOME), "alice")
    change(database, email_verified_at=func.current_timestamp())
    with database.transaction() as db:
        db.run(delete(models.outbox))
    return alice


def change(database: Database, **columns: Any) -> None:
    """Change all users."""
    with database.transaction() as db:
        db.run(update(models.users).values(**columns))


def log_in(alice: Person, client: TestClient, **body: str) -> None:
    assert at(client, alice).log_in(**body).status_code == 200


def mails(database: Database) -> list[str]:
    with database.transaction() as db:
        return list(
            db.run(select(models.outbox.c.template).where(models.outbox.c.template != "verify_email")).scalars()
        )


def test_a_log_in_from_a_new_place_sends_one_notice(
    alice: Person, place: Place, mailbox: Mailbox, database: Database
) -> None:
    log_in(alice, place(HOME))
    assert mails(database) == []
    for _ in range(2):
        log_in(alice, place(ABROAD))
    server = mailbox.deliver()
    assert server.to == [alice.email]
    message = server.message()
    assert message["Subject"] == "Charter: new log-in to your account"
    text = text_of(message)
    assert f"IP address  {ABROAD}" in text
    assert "Device      Mozilla/5.0 (X11; Linux x86_64; rv 145.0) Gecko/20100101 Firefox/145.0" in text
    # The outbox forgets the client once the mail is sent.
    with database.transaction() as db:
        assert db.run(select(models.outbox.c.facts)).scalars().all() == [None]


def test_a_user_gets_at_most_one_notice_in_an_hour(
    alice: Person, place: Place, travel: Travel, database: Database
) -> None:
    for number in range(3):
        log_in(alice, place(f"198.51.100.{number}"))
    assert mails(database) == ["new_log_in"]
    travel(HOUR + timedelta(seconds=1))
    # The second place is known, although it caused no notice.
    log_in(alice, place("198.51.100.1"))
    assert len(mails(database)) == 1
    log_in(alice, place("198.51.100.4"))
    assert len(mails(database)) == 2


def test_simultaneous_log_ins_send_one_notice(alice: Person, place: Place, database: Database) -> None:
    calls = [at(place(address), alice).log_in for address in (ABROAD, OFFICE, ABROAD, OFFICE)]
    assert {response.status_code for response in at_once(*calls)} == {200}
    assert mails(database) == ["new_log_in"]
    assert count(database, models.known_places) == 3


@on_sqlite
def test_a_device_token_is_recognized_at_a_new_place(alice: Person, place: Place, database: Database) -> None:
    log_in(alice, place(ABROAD), device_token=alice.device_token)
    assert mails(database) == []
    bobby = newcomer(place(HOME), "bobby")
    log_in(alice, place(OFFICE), device_token=bobby.device_token)
    assert mails(database) == ["new_log_in"]


@on_sqlite
def test_an_unverified_address_gets_no_notice(alice: Person, place: Place, database: Database) -> None:
    change(database, email_verified_at=None)
    log_in(alice, place(ABROAD))
    assert mails(database) == []
    assert count(database, models.known_places) == 2


@on_sqlite
def test_a_notice_is_in_the_language_of_the_user(alice: Person, place: Place, database: Database) -> None:
    change(database, locale="de")
    log_in(alice, place(ABROAD))
    with database.transaction() as db:
        assert db.run(select(models.outbox.c.locale)).scalars().all() == ["de"]


@on_sqlite
def test_a_refresh_from_elsewhere_sends_no_notice(alice: Person, place: Place, database: Database) -> None:
    assert at(place(ABROAD), alice).refresh().status_code == 200
    assert (mails(database), count(database, models.known_places)) == ([], 1)


@on_sqlite
def test_an_ipv6_network_is_one_place(alice: Person, place: Place, database: Database) -> None:
    log_in(alice, place(NETWORK))
    log_in(alice, place("2001:db8:1:2:ffff::2"))
    assert (mails(database), count(database, models.known_places)) == (["new_log_in"], 2)


@on_sqlite
def test_the_latest_twenty_places_of_a_user_are_known(
    alice: Person, place: Place, travel: Travel, database: Database
) -> None:
    newcomer(place(OFFICE), "bobby")
    travel(DAY + HOUR)
    log_in(alice, place(HOME))
    for number in range(1, 25):
        travel(HOUR + timedelta(minutes=1))
        log_in(alice, place(f"198.51.100.{number}"))
        if number % 10 == 0:
            log_in(alice, place(HOME))
    # The places of other users stay.
    assert count(database, models.known_places) == 20 + 1
    before = len(mails(database))
    log_in(alice, place(HOME))
    log_in(alice, place("198.51.100.24"))
    assert len(mails(database)) == before
    travel(HOUR + timedelta(minutes=1))
    log_in(alice, place("198.51.100.1"))
    assert len(mails(database)) == before + 1


def test_a_log_in_from_a_known_place_needs_no_further_statement(alice: Person, place: Place, travel: Travel) -> None:
    client = place(HOME)
    log_in(alice, client)
    usual = ["SELECT", "INSERT"]
    for expected in (usual, [*usual, "UPDATE"], usual):
        with statements() as sent:
            log_in(alice, client)
        # The audit log has statements of its own.
        own = [each for each in sent if "signing_keys" not in each and "INTO event" not in each]
        assert [statement.split()[0] for statement in own] == expected
        travel((DAY + HOUR) * (expected == usual))


def test_a_finished_reset_makes_only_its_place_known(
    alice: Person, place: Place, travel: Travel, mailbox: Mailbox, database: Database
) -> None:
    newcomer(place(OFFICE), "bobby")
    log_in(alice, place(OFFICE))
    client = place(ABROAD)
    client.post("/api/v1/auth/password/request", json={"email": alice.email})
    body = {"code": mailbox.deliver().code(), "new_password": "a better battery for this horse"}
    assert client.post("/api/v1/auth/password/reset", json=body).status_code == 204
    # The places of other users stay.
    assert count(database, models.known_places) == 1 + 1
    log_in(alice, client, password=body["new_password"])
    assert "new_log_in" not in mails(database)[1:]
    # A thief may have logged in at the other places.
    travel(HOUR + timedelta(seconds=1))
    log_in(alice, place(OFFICE), password=body["new_password"])
    assert mails(database)[-1] == "new_log_in"


@on_sqlite
def test_addresses_of_places_are_not_stored(alice: Person, database: Database) -> None:
    with database.transaction() as db:
        (digest,) = db.run(select(models.known_places.c.digest)).scalars()
    assert len(digest) == 16
    assert HOME.encode() not in digest


@pytest.mark.parametrize(
    ("agent", "shown"),
    [
        (AGENT, "Mozilla/5.0 (X11; Linux x86_64; rv 145.0) Gecko/20100101 Firefox/145.0"),
        ("Call +49 30 1234 <b>now</b>", "Call 49 30 1234 b now /b"),
        ("see https://evil.example/a.b", "see https evil example/a b"),
        ("me@evil.example 1.2.x", "me evil example 1.2 x"),
        ("a" * 300, "a" * 120),
        ("Füchse\r\n\x1b[1m", "F chse 1m"),
        ("", ""),
    ],
)
def test_a_notice_shows_no_link_of_a_user_agent(agent: str, shown: str) -> None:
    assert notices._harmless(agent) == shown
