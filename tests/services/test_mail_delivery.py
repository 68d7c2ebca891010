"""The delivery worker: the results of attempts, leases, and failures of the mail server."""

import pkgutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from smtplib import SMTP
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from api import models
from api.config import Config
from api.mailing import mail_delivery
from api.services import outbox
from api.services.mail_delivery import Delivery
from api.services.mail_transport import SmtpTransport
from api.services.outbox import Outbox
from api.storage.database import Database
from tests.support.concurrency import at_once
from tests.support.databases import on_sqlite
from tests.support.mail_server import SUCCESS, MailServer, mail_server, text_of
from tests.support.mailbox import Mailbox
from tests.support.types import Travel

DAY = timedelta(days=1)
LEASE = timedelta(seconds=60)
Write = Callable[..., None]


@pytest.fixture
def write(database: Database) -> Write:
    """A function that writes notices for these addresses."""

    def write(*addresses: str, lifetime: timedelta = DAY) -> None:
        with database.transaction() as db:
            for address in addresses:
                Outbox(True, ("en",)).add(db, "password_changed", address, lifetime)

    return write


def worker(mailbox: Mailbox, server: MailServer | None = None) -> Delivery:
    """Return a delivery worker, as each process has one."""
    settings = (server or mailbox.server).settings
    return mail_delivery(replace(mailbox.config, smtp_url=settings), mailbox.database, "Charter")


def claim(database: Database) -> list[UUID]:
    """Claim the due mails, as a process does that crashes afterwards."""
    with database.transaction() as db:
        return [row.id for row in outbox.claim(db, uuid4(), LEASE, 5)]


def test_each_mail_is_sent_once(mailbox: Mailbox, write: Write) -> None:
    addresses = [f"reader{number}@example.com" for number in range(12)]
    write(*addresses)
    server = mailbox.deliver()
    assert server.to == addresses
    assert len({message["Message-ID"] for _, message in server.mails}) == 12
    assert set(mailbox.states()) == {("password_changed", "sent", 1, None)}


@pytest.mark.slow
def test_four_workers_send_each_mail_once(mailbox: Mailbox, write: Write) -> None:
    addresses = [f"reader{number}@example.com" for number in range(60)]
    write(*addresses)

    def work() -> None:
        delivery = worker(mailbox)
        while mailbox.is_due():
            delivery.step()

    at_once(*[work] * 4)
    assert sorted(mailbox.server.to) == sorted(addresses)


def test_a_message_has_the_headers_of_an_automatic_mail(mailbox: Mailbox, write: Write) -> None:
    write("reader@example.com")
    (envelope, message), *_ = mailbox.deliver().mails
    assert envelope.mail_from == "no-reply@example.com"
    assert (message["From"], message["To"]) == ("Charter <no-reply@example.com>", "reader@example.com")
    assert message["Message-ID"].endswith("@example.com>")
    assert UUID(message["Message-ID"][1:37])
    assert (message["Auto-Submitted"], message["Content-Language"]) == ("auto-generated", "en")
    assert message.get_content_type() == "multipart/alternative"
    assert "was changed" in text_of(message)
    assert "was changed" in text_of(message, "html")


def test_a_crash_returns_a_mail_when_its_lease_ends(
    travel: Travel, database: Database, mailbox: Mailbox, write: Write
) -> None:
    write("reader@example.com")
    assert len(claim(database)) == 1
    assert claim(database) == []
    travel(LEASE - timedelta(seconds=1))
    assert mailbox.deliver().to == []
    travel(timedelta(seconds=1))
    assert mailbox.deliver().to == ["reader@example.com"]
    # The attempt of the crashed process counts, so a mail that ends each process is not tried forever.
    assert mailbox.states() == [("password_changed", "sent", 2, None)]


def test_a_mail_is_the_same_at_each_attempt(travel: Travel, mailbox: Mailbox, write: Write) -> None:
    write("reader@example.com")
    with mailbox.database.transaction() as db:
        mail_id = outbox.list_newest(db, "waiting", 1)[0].id
    first = mailbox.deliver().message()["Message-ID"]
    # The process crashed after the server had accepted the mail.
    with mailbox.database.transaction() as db:
        sent = update(models.outbox).where(models.outbox.c.id == mail_id)
        db.run(sent.values(state="waiting", address="a@example.com"))
    travel(LEASE)
    assert mailbox.deliver().message()["Message-ID"] == first == f"<{mail_id}@example.com>"
    assert len(mailbox.server.mails) == 2


def test_a_lost_lease_is_noticed(
    travel: Travel, database: Database, mailbox: Mailbox, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    write("reader@example.com")

    def slow(_: str) -> str:
        travel(LEASE)
        claim(database)
        return SUCCESS

    mailbox.server.on_data = slow
    worker(mailbox).step()
    assert "mail_lease_lost" in caplog.text
    assert mailbox.states() == [("password_changed", "waiting", 2, None)]


def test_an_undeliverable_mail_does_not_delay_others(mailbox: Mailbox, write: Write) -> None:
    mailbox.server.on_recipient = lambda address: "550 no <bad@example.com> here" if "bad" in address else SUCCESS
    others = [f"reader{number}@example.com" for number in range(8)]
    write("bad@example.com", *others)
    assert mailbox.deliver().to == others
    assert ("password_changed", "dead", 1, "550 no <address> here") in mailbox.states()


def test_a_temporary_failure_is_repeated_later_and_later(travel: Travel, mailbox: Mailbox, write: Write) -> None:
    mailbox.server.on_recipient = lambda _: "451 try again"
    write("reader@example.com")
    for attempt, seconds in enumerate((15, 30, 60), 1):
        mailbox.deliver()
        assert mailbox.states() == [("password_changed", "waiting", attempt, "451 try again")]
        travel(timedelta(seconds=0.8 * seconds - 1))
        assert not mailbox.is_due()
        travel(timedelta(seconds=0.4 * seconds + 1))
        assert mailbox.is_due()
    mailbox.server.reset()
    assert mailbox.deliver().to == ["reader@example.com"]


def test_an_unreachable_server_is_not_the_fault_of_a_mail(
    mailbox: Mailbox, write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with mail_server() as gone:
        pass
    time = [1000.0]
    monkeypatch.setattr("api.services.mail_delivery.monotonic", lambda: time[0])
    write(*(f"reader{number}@example.com" for number in range(3)))
    delivery = worker(mailbox, gone)
    for number, pause in enumerate((5, 10, 20, 40, 80, 160, 300, 300), 1):
        assert delivery.step() is False
        # Within the pause, nothing is tried.
        time[0] += pause - 1
        assert delivery.step() is False
        assert caplog.text.count("mail_unavailable") == number
        time[0] += 1
    assert mailbox.states() == [("password_changed", "waiting", 0, None)] * 3
    assert len(mailbox.deliver().to) == 3


@pytest.mark.parametrize("reply", ["421 shutting down", "421"])
def test_a_server_that_shuts_down_is_unavailable(mailbox: Mailbox, write: Write, reply: str) -> None:
    mailbox.server.on_recipient = lambda _: reply
    write("reader@example.com")
    assert worker(mailbox).step() is False
    assert mailbox.states() == [("password_changed", "waiting", 0, None)]


def test_a_mail_that_a_server_answers_with_421_does_not_block_others(
    mailbox: Mailbox, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = [1000.0]
    monkeypatch.setattr("api.services.mail_delivery.monotonic", lambda: time[0])
    mailbox.server.on_recipient = lambda address: "421 not this one" if "bad" in address else SUCCESS
    others = [f"reader{number}@example.com" for number in range(8)]
    write("bad@example.com", *others)
    delivery = worker(mailbox)
    # A mail was sent since the last pause, so each pause is the first one again.
    for _ in range(4):
        delivery.step()
        time[0] += 5
    assert sorted(mailbox.server.to) == others


def test_an_expired_mail_is_not_sent(travel: Travel, mailbox: Mailbox, write: Write) -> None:
    write("reader@example.com")
    travel(DAY)
    assert mailbox.deliver().to == []
    assert mailbox.states() == [("password_changed", "dead", 1, "EXPIRED")]


def test_a_dead_mail_can_be_sent_again(mailbox: Mailbox, write: Write, database: Database) -> None:
    mailbox.server.on_recipient = lambda _: "550 no"
    write("reader@example.com")
    mailbox.deliver()
    mailbox.server.reset()
    with database.transaction() as db:
        outbox.retry(db, outbox.list_newest(db, "dead", 1)[0].id, DAY)
    assert mailbox.deliver().to == ["reader@example.com"]
    assert mailbox.states() == [("password_changed", "sent", 1, None)]


def test_old_mails_are_purged(travel: Travel, mailbox: Mailbox, write: Write, database: Database) -> None:
    def purge() -> bool:
        with database.transaction() as db:
            return outbox.purge(db, timedelta(days=7))

    write("reader@example.com")
    mailbox.deliver()
    mailbox.server.on_recipient = lambda _: "550 no"
    write("other@example.com")
    mailbox.deliver()
    for days, left in ((6, 2), (2, 1), (21, 1), (2, 0)):
        travel(timedelta(days=days))
        assert purge() is False
        assert len(mailbox.states()) == left


def test_many_old_mails_are_purged_in_steps(travel: Travel, write: Write, database: Database, mailbox: Mailbox) -> None:
    write(*["reader@example.com"] * 150)
    with database.transaction() as db:
        db.run(update(models.outbox).values(state="sent"))
    travel(timedelta(days=8))
    for more, left in ((True, 50), (False, 0)):
        with database.transaction() as db:
            assert outbox.purge(db, timedelta(days=7)) is more
        with database.transaction() as db:
            assert len(outbox.list_newest(db, "sent", 100)) == left


ENCODED = ("=?utf-8?q?other?=@example.com", "=?utf-8?q?a=0d=0aBcc=3a=20b=40example.com?=@example.com")


@on_sqlite
@pytest.mark.parametrize("address", ENCODED)
def test_an_address_that_a_header_would_change_gets_no_mail(mailbox: Mailbox, write: Write, address: str) -> None:
    others = ["reader@example.com", "a!#$%&'*+-/=?^_`{|}~@example.com", f"{'a' * 64}@{'b' * 63}.{'c' * 63}.example.com"]
    write(address, *others)
    assert mailbox.deliver().to == others
    error = "a header cannot contain this address"
    assert mailbox.states()[-1] == ("password_changed", "dead", 1, error)


@on_sqlite
def test_an_address_that_is_no_longer_valid_gets_no_mail(mailbox: Mailbox, write: Write) -> None:
    write("no address", "reader@example.com")
    assert mailbox.deliver().to == ["reader@example.com"]
    assert mailbox.states()[-1] == ("password_changed", "dead", 1, "the address is not valid")


FALLIBLE = ["outbox.renew", "compose"]


@on_sqlite
@pytest.mark.parametrize("place", [*(f"api.services.mail_delivery.{name}" for name in FALLIBLE), "smtplib.SMTP.rcpt"])
def test_an_unexpected_failure_does_not_delay_other_mails(
    mailbox: Mailbox, write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    is_first = iter([True])
    call = pkgutil.resolve_name(place)

    def fail_once(*given: Any) -> Any:
        if next(is_first, False):
            raise KeyError("secret")
        return call(*given)

    monkeypatch.setattr(place, fail_once)
    others = [f"reader{number}@example.com" for number in range(8)]
    write("first@example.com", *others)
    assert mailbox.deliver().to == others
    assert mailbox.states()[-1] == ("password_changed", "waiting", 1, "KeyError")
    assert "mail_failed" in caplog.text


@on_sqlite
def test_an_international_domain_is_sent_as_an_a_label(mailbox: Mailbox, write: Write) -> None:
    write("reader@ex\u00e4mple.com")
    assert mailbox.deliver().to == ["reader@xn--exmple-cua.com"]
    assert "SMTPUTF8" not in mailbox.server.mails[0][0].mail_options


@on_sqlite
def test_an_international_name_needs_a_server_that_supports_it(mailbox: Mailbox, write: Write) -> None:
    write("\u00fcser@example.com")
    assert mailbox.deliver().to == ["\u00fcser@example.com"]
    assert "SMTPUTF8" in mailbox.server.mails[0][0].mail_options


@on_sqlite
def test_a_batch_shares_a_connection(mailbox: Mailbox, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    make = SmtpTransport._made

    def counted(transport: SmtpTransport) -> SMTP:
        made.append(make(transport))
        return made[-1]

    monkeypatch.setattr(SmtpTransport, "_made", counted)
    write(*[f"reader{number}@example.com" for number in range(5)])
    mailbox.deliver()
    assert len(made) == 1


def test_without_a_mail_server_nothing_is_written(database: Database, config: Config) -> None:
    with database.transaction() as db:
        Outbox(False, ("en",)).add(db, "password_changed", "reader@example.com", DAY)
        assert outbox.list_newest(db, "waiting", 1) == []
