"""The former address of a user: no stranger takes it while a code that undoes the change works."""

from datetime import timedelta
from functools import partial

import httpx
import pytest
from starlette.testclient import TestClient

from tests.features.test_email_change import NEW, OLD, WEEK, cancel, change, code_of, confirm, profile, revert
from tests.support.concurrency import at_once
from tests.support.databases import on_sqlite
from tests.support.mailbox import Mailbox
from tests.support.person import PASSWORD, Person, newcomer
from tests.support.problems import assert_problem
from tests.support.types import Events, Travel

ROUNDS = 5


def sign_up(client: httpx.Client, username: str, email: str) -> httpx.Response:
    return client.post("/api/v1/auth/signup", json={"username": username, "email": email, "password": PASSWORD})


@pytest.mark.parametrize("email", [OLD, "Alice@EXAMPLE.com", "\uff41lice@example.com"])
def test_a_stranger_cannot_sign_up_with_a_former_address(
    client: TestClient, alice: Person, mailbox: Mailbox, email: str
) -> None:
    undoing = change(alice, mailbox, OLD, NEW)
    assert_problem(sign_up(client, "thief", email), 409, "EMAIL_TAKEN")
    # Nothing remains of the attempt.
    assert_problem(
        client.post("/api/v1/auth/login", json={"username": "thief", "password": PASSWORD}), 401, "INVALID_CREDENTIALS"
    )
    assert revert(client, undoing).status_code == 204
    assert sign_up(client, "thief", NEW).status_code == 201


@on_sqlite
def test_a_former_address_is_free_once_the_change_is_final(
    client: TestClient, travel: Travel, alice: Person, mailbox: Mailbox
) -> None:
    change(alice, mailbox, OLD, NEW)
    travel(WEEK - timedelta(seconds=1))
    assert_problem(sign_up(client, "other", OLD), 409, "EMAIL_TAKEN")
    travel(timedelta(seconds=1))
    assert sign_up(client, "other", OLD).status_code == 201


@on_sqlite
def test_a_reader_of_a_former_address_can_take_it(client: TestClient, alice: Person, mailbox: Mailbox) -> None:
    change(alice, mailbox, OLD, NEW)
    bobby = newcomer(client, "bobby")
    assert confirm(client, code_of(bobby, mailbox, OLD)).status_code == 204
    assert profile(bobby)[0] == OLD


@pytest.mark.slow
def test_no_sign_up_overtakes_a_change(client: TestClient, mailbox: Mailbox) -> None:
    for number in range(ROUNDS):
        name = f"alice{number}"
        person = newcomer(client, name)
        code = code_of(person, mailbox, f"{name}@example.org")
        thieves = [partial(sign_up, client, f"thief{number}{place}", person.email) for place in range(3)]
        responses = at_once(partial(confirm, client, code), *thieves)
        assert [response.status_code for response in responses] == [204, 409, 409, 409]
        assert revert(client, mailbox.deliver().code(person.email)).status_code == 204


@on_sqlite
def test_events_of_a_change_are_logged(client: TestClient, alice: Person, mailbox: Mailbox, events: Events) -> None:
    code_of(alice, mailbox)
    cancel(alice)
    revert(client, change(alice, mailbox, OLD, NEW))
    found = [event for event in events() if event[0].startswith("email")]
    names = ["requested", "cancelled", "requested"]
    expected = [f"email_change_{name}" for name in names] + ["email_changed", "email_reverted"]
    assert found == [(name, {"user_id": alice.id}) for name in expected]
