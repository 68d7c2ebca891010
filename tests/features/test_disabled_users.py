"""Disabled users: they cannot log in, and their sessions end."""

import json
from functools import partial
from pathlib import Path
from time import sleep

import httpx
import pytest
from starlette.testclient import TestClient

from api.config import Config
from api.services import users
from api.storage.database import Database
from tests.features.test_password_concurrency import ROUNDS, once
from tests.features.test_passwords import WRONG, change, stored_hash
from tests.features.test_sessions import ACTIVE, ENDED, comparable, log_in_again, session_state
from tests.support.bcrypt_spy import Bcrypt
from tests.support.charter import beside
from tests.support.concurrency import at_once
from tests.support.person import PASSWORD, Person, newcomer
from tests.support.problems import assert_problem
from tests.support.types import Events
from tests.support.workers import disable


def test_disabling_a_user_fails_requests_already_in_progress(
    alice: Person, config: Config, hashing: Bcrypt, database: Database
) -> None:
    late, before = Person(alice.client, "alice"), stored_hash(database)
    hashing.meanwhile = once(partial(disable, config, "alice"))
    assert late.log_in().status_code == 401
    with database.transaction() as db:
        users.enable(db, "alice")
    late.log_in()
    hashing.meanwhile = once(partial(disable, config, "alice"))
    response = change(late)
    assert_problem(response, 401, "INVALID_TOKEN")
    assert stored_hash(database) == before


@pytest.mark.slow
def test_a_disabled_user_gets_the_response_to_a_wrong_password(config: Config, server: str, tmp_path: Path) -> None:
    charter = beside(config)
    with httpx.Client(base_url=server) as client:
        alice, bobby = newcomer(client, "alice"), newcomer(client, "bobby")
        phone, wrong = log_in_again(alice), comparable(bobby.log_in(password=WRONG))
        assert [session_state(person) for person in (alice, phone)] == [ACTIVE, ACTIVE]
        ended = Person(client, "alice", token=phone.token, refresh_token=phone.refresh_token)
        result = charter.run("users", "disable", "Alice@example.com")
        sleep(0.1)
        assert (result.returncode, result.stdout) == (0, "alice is disabled.\n")
        assert [session_state(person) for person in (alice, phone)] == [ENDED, ENDED]
        assert [comparable(alice.log_in(password=password)) for password in (PASSWORD, WRONG)] == [wrong, wrong]
        assert [json.loads(line)["event"] for line in result.stderr.splitlines()] == [
            "session_revoked",
            "session_revoked",
            "user_disabled",
        ]
        assert bobby.log_in().status_code == 200
        assert charter.run("users", "enable", "alice").stdout == "alice is enabled.\n"
        assert alice.log_in().status_code == 200
        assert [session_state(person) for person in (alice, ended)] == [ACTIVE, ENDED]


@pytest.mark.slow
def test_disabling_an_unknown_user_fails(config: Config, tmp_path: Path) -> None:
    charter = beside(config)
    for verb in ("disable", "enable"):
        result = charter.run("users", verb, "unknown")
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr == "Error: no such user: unknown\n"


def test_log_in_of_a_disabled_user_costs_the_same_for_any_password(
    renewing_client: TestClient, config: Config, hashing: Bcrypt, events: Events
) -> None:
    disable(config, "alice")
    alice = Person(renewing_client, "alice")
    responses = [alice.log_in(password=password) for password in (PASSWORD, WRONG)]
    assert [response.status_code for response in responses] == [401, 401]
    assert comparable(responses[0]) == comparable(responses[1])
    assert (hashing.checked, hashing.hashed) == (["$2b$04$"] * 2, ["$2b$04$"] * 2)
    assert [name for name, _ in events()] == ["session_revoked", "user_disabled", *["log_in_failed"] * 2]


@pytest.mark.slow
def test_no_session_survives_the_disabling_of_its_user(config: Config, server: str) -> None:
    for username in ROUNDS:
        with httpx.Client(base_url=server) as client:
            people = [newcomer(client, username), *(Person(client, username) for _ in range(6))]
            at_once(partial(disable, config, username), *(person.log_in for person in people[1:]))
            # A change reaches other processes within 100 ms.
            sleep(0.1)
            assert {session_state(person) for person in people if person.token} == {ENDED}
            assert people[0].log_in().status_code == 401
