"""Password changes and log-ins of the same user at the same time."""

from collections.abc import Callable
from functools import partial

import httpx
import pytest
from starlette.testclient import TestClient

from api.config import Config
from api.storage.database import Database
from tests.features.test_password_hashes import is_locked
from tests.features.test_passwords import NEW, change, stored_hash
from tests.features.test_sessions import ACTIVE, ENDED, log_in_again, session_of, session_state
from tests.support.bcrypt_spy import Bcrypt
from tests.support.concurrency import at_once
from tests.support.person import PASSWORD, Person, newcomer
from tests.support.problems import assert_problem
from tests.support.types import Events


def once(action: Callable[[], object]) -> Callable[[], None]:
    """Return a function that runs the action at its first call only, even if the action calls it."""
    actions = [action]

    def act() -> None:
        while actions:
            actions.pop()()

    return act


def test_concurrent_log_ins_succeed_when_both_renew_the_hash(
    renewing_client: TestClient, config: Config, hashing: Bcrypt
) -> None:
    one, two = Person(renewing_client, "alice"), Person(renewing_client, "alice")
    two_logs_in, locked = once(two.log_in), []

    def meanwhile() -> None:
        two_logs_in()
        locked.append(is_locked(config))

    hashing.meanwhile = meanwhile
    assert one.log_in().status_code == 200
    # The second check, which uses the renewed hash, holds no transaction either.
    assert hashing.checked[-1] == "$2b$05$"
    assert not any(locked)
    assert [session_state(one), session_state(two)] == [ACTIVE, ACTIVE]


def test_a_password_change_survives_a_concurrent_renewal_of_the_hash(
    renewing_client: TestClient, hashing: Bcrypt
) -> None:
    alice, other = Person(renewing_client, "alice"), Person(renewing_client, "alice")
    alice.log_in()
    hashing.meanwhile = once(other.log_in)
    assert change(alice).status_code == 204
    assert [session_state(alice), session_state(other)] == [ACTIVE, ENDED]


def test_a_log_in_fails_if_the_password_changes_during_it(alice: Person, hashing: Bcrypt) -> None:
    late = Person(alice.client, "alice")
    hashing.meanwhile = once(lambda: change(alice))
    assert (late.log_in().status_code, late.token) == (401, "")
    assert session_state(alice) == ACTIVE
    assert late.log_in(password=NEW).status_code == 200


def test_the_first_of_two_password_changes_wins(alice: Person, hashing: Bcrypt, events: Events) -> None:
    late = log_in_again(alice)
    hashing.meanwhile = once(lambda: change(alice, new="the first of two changes"))
    response = change(late)
    assert_problem(response, 403, "WRONG_PASSWORD")
    assert [session_state(alice), session_state(late)] == [ACTIVE, ENDED]
    assert [late.log_in(password=new).status_code for new in (NEW, "the first of two changes")] == [401, 200]
    assert [name for name, _ in events()].count("password_changed") == 1


def test_a_password_change_fails_if_its_session_is_revoked_during_it(
    alice: Person, hashing: Bcrypt, database: Database
) -> None:
    thief, before = log_in_again(alice), stored_hash(database)
    hashing.meanwhile = once(partial(alice.delete, f"/api/v1/sessions/{session_of(thief)}"))
    response = change(thief)
    assert_problem(response, 401, "INVALID_TOKEN")
    assert stored_hash(database) == before
    assert session_state(alice) == ACTIVE


ROUNDS = [f"alice{number}" for number in range(10)]


@pytest.mark.slow
def test_no_session_survives_a_concurrent_password_change(server: str) -> None:
    for username in ROUNDS:
        with httpx.Client(base_url=server) as client:
            alice = newcomer(client, username)
            others = [Person(client, username) for _ in range(6)]
            changed, *granted = at_once(partial(change, alice), *(other.log_in for other in others))
            assert changed.status_code == 204
            assert {response.status_code for response in granted} <= {200, 401}
            assert {session_state(other) for other in others if other.token} <= {ENDED}
            assert session_state(alice) == ACTIVE
            assert [alice.log_in(password=password).status_code for password in (PASSWORD, NEW)] == [401, 200]


@pytest.mark.slow
def test_one_of_many_concurrent_password_changes_wins(server: str) -> None:
    wanted = [f"{NEW} {number}" for number in range(6)]
    for username in ROUNDS:
        with httpx.Client(base_url=server) as client:
            people = [newcomer(client, username)]
            people += [log_in_again(people[0]) for _ in wanted[1:]]
            calls = [partial(change, person, new=new) for person, new in zip(people, wanted, strict=True)]
            statuses = [response.status_code for response in at_once(*calls)]
            assert set(statuses) <= {204, 401, 403}
            won = [status == 204 for status in statuses]
            assert sum(won) == 1
            assert [session_state(person) for person in people] == [ACTIVE if each else ENDED for each in won]
            tries = [people[0].log_in(password=new).status_code for new in (*wanted, PASSWORD)]
            assert tries == [200 if each else 401 for each in (*won, False)]
