"""A backlog of mails survives crashes: none is lost, and at most one is sent twice for each crash."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event

import pytest

from api.config import Config
from api.services.outbox import Outbox
from api.storage.database import Database
from tests.support.charter import Charter, beside, until
from tests.support.mail_server import SUCCESS, MailServer, mail_server
from tests.support.workers import by_hand

pytestmark = pytest.mark.usefixtures("forked")


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def charter(config: Config, server: MailServer) -> Charter:
    return beside(config, server.port)


def write(config: Config, number: int) -> set[str]:
    """Write so many mails into the outbox, and return their readers."""
    readers = {f"user{place}@example.com" for place in range(number)}
    database = Database(config.database_url)
    with database.transaction() as db:
        for reader in sorted(readers):
            Outbox(True, ("en",)).add(db, "test", reader, timedelta(days=1))
    database.dispose()
    return readers


def waiting(config: Config) -> int:
    """Return the number of mails that are not sent."""
    database = Database(config.database_url)
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT count(*) FROM outbox WHERE state <> 'sent'").scalar_one()
    database.dispose()
    return int(found)


class Crashes:
    """Holds the reply to some mails until the service is dead. The server has accepted these mails."""

    def __init__(self, server: MailServer, every: int) -> None:
        self._server = server
        self._every = every
        self._left = 0
        self.held, self.over = Event(), Event()
        server.on_data = self._reply

    def arm(self) -> None:
        """Hold the reply to a later mail."""
        self._left = self._every
        self.held.clear()
        self.over.clear()

    def _reply(self, reader: str) -> str:
        self._left -= 1
        if self._left == 0:
            self.held.set()
            self.over.wait()
        return SUCCESS


@contextmanager
def crashing(charter: Charter, crashes: Crashes) -> Iterator[None]:
    """Run a service, and kill it while it waits for the reply to a mail."""
    crashes.arm()
    with charter.serving() as service:
        try:
            yield
            assert crashes.held.wait(60)
        finally:
            os.kill(service.process.pid, signal.SIGKILL)
            service.process.wait()
            crashes.over.set()


def test_20_crashes_lose_no_mail_and_repeat_at_most_one_each(
    config: Config, charter: Charter, server: MailServer, long: bool
) -> None:
    kills, number = (20, 1000) if long else (3, 100)
    readers = write(config, number)
    crashes = Crashes(server, number // (kills + 1))
    for _ in range(kills):
        with crashing(charter, crashes):
            pass
    # The leases of the dead processes end.
    by_hand(config, "UPDATE outbox SET due_at = created_at WHERE state = 'waiting'")
    with charter.serving() as service:
        until(lambda: waiting(config) == 0)
        assert service.stop() == 0
    assert set(server.to) == readers
    copies = Counter(message["Message-ID"] for _, message in server.mails)
    assert len(copies) == number
    assert max(copies.values()) > 1
    assert len(server.mails) - number <= kills


def test_four_workers_send_each_mail_of_a_backlog_once(
    config: Config, charter: Charter, server: MailServer, long: bool
) -> None:
    readers = write(config, 500 if long else 100)
    with charter.serving("--workers", "4") as service:
        until(lambda: waiting(config) == 0)
        assert service.stop() == 0
    assert sorted(server.to) == sorted(readers)
