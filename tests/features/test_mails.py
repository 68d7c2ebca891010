"""The mails of the outbox, as admins see them."""

from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from api.config import Config
from api.services.outbox import Outbox
from api.storage.database import Database
from tests.features.test_sessions import UNKNOWN
from tests.support.admins import admin_of, pages
from tests.support.mailbox import Mailbox
from tests.support.person import Person
from tests.support.problems import assert_problem
from tests.support.types import Events

MAILS = "/api/v1/mails"


@pytest.fixture
def admin(config: Config, client: TestClient) -> Person:
    return admin_of(config, client)


def write(database: Database, address: str) -> None:
    with database.transaction() as db:
        Outbox(True, ("en",)).add(db, "test", address, timedelta(hours=1))


def test_a_dead_mail_is_listed_and_sent_again(
    database: Database, admin: Person, mailbox: Mailbox, events: Events
) -> None:
    mailbox.server.on_recipient = lambda address: f"550 no mailbox <{address}> here"
    write(database, "reader@example.com")
    mailbox.deliver()
    mailbox.server.reset()
    [[mail]] = pages(admin, MAILS, state="dead")
    shown = {name: mail[name] for name in ("template", "user_id", "recipient", "state", "attempts", "error")}
    assert shown == {
        "template": "test",
        "user_id": None,
        "recipient": "r***@example.com",
        "state": "dead",
        "attempts": 1,
        "error": "550 no mailbox <address> here",
    }
    assert admin.post(f"{MAILS}/{mail['id']}/retry").status_code == 204
    assert events()[-1] == ("mail_retried", {"mail_id": mail["id"]})
    assert_problem(admin.post(f"{MAILS}/{mail['id']}/retry"), 409, "MAIL_NOT_DEAD")
    assert mailbox.deliver().to == ["reader@example.com"]
    [[sent]] = pages(admin, MAILS, state="sent")
    assert (sent["id"], sent["recipient"], sent["error"]) == (mail["id"], None, None)
    assert_problem(admin.post(f"{MAILS}/{mail['id']}/retry"), 409, "MAIL_NOT_DEAD")
    assert_problem(admin.post(f"{MAILS}/{UNKNOWN}/retry"), 404, "NOT_FOUND")


def test_mails_are_listed_in_pages_newest_first(database: Database, admin: Person, mailbox: Mailbox) -> None:
    # The mail to the admin is left out.
    assert mailbox.states() == []
    for number in range(5):
        write(database, f"{number}reader@example.com")
    for query in ({}, {"state": "waiting"}):
        found = pages(admin, MAILS, limit=2, **query)
        assert [[mail["recipient"][0] for mail in page] for page in found] == [["4", "3"], ["2", "1"], ["0"]]
    assert pages(admin, MAILS, state="dead") == [[]]
    response = admin.client.get(MAILS, headers=admin.headers, params={"limit": 2}).json()
    query = {"cursor": response["next_cursor"], "state": "waiting"}
    assert admin.client.get(MAILS, headers=admin.headers, params=query).status_code == 400
