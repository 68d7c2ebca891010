"""The rate limit of unknown API keys, by the address of the client."""

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import count
from threading import Event
from typing import Any

import pytest

from api.config import Config
from api.errors import DatabaseUnavailable
from api.services import api_keys
from api.services.attempts import Attempts
from tests.support.api_keys import create_key, unknown_key
from tests.support.concurrency import at_once
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import newcomer
from tests.support.problems import assert_problem
from tests.support.workers import statements, worker

SIMULTANEOUS = 80


@pytest.mark.slow
@pytest.mark.usefixtures("still")
def test_unknown_keys_are_limited_by_address(config: Config) -> None:
    with worker(replace(config, rate_limits=())) as client:
        alice = newcomer(client, "alice")
        program, unseen = create_key(alice, "profile"), create_key(alice, "profile")
        for _ in range(60):
            # A key that is found does not count, however often the process forgets it.
            assert program.get("/protected").status_code == 200
            assert_problem(replace(program, key=unknown_key()).get("/protected"), 401, "INVALID_TOKEN")
        with statements() as sent:
            refused = replace(program, key=unknown_key()).get("/protected")
        assert_problem(refused, 429, "RATE_LIMITED")
        assert refused.headers["retry-after"] == "1"
        assert [statement for statement in sent if "api_keys" in statement] == []
        assert program.get("/protected").status_code == 200
        assert unseen.get("/protected").status_code == 429
        # A key that was revoked is unknown from then on.
        assert alice.delete(program.path).status_code == 204
        assert [program.get("/protected").status_code for _ in range(2)] == [401, 429]


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the look-up of a key wait until 80 requests have arrived."""
    find, look_up, arrived, everyone = api_keys.find, Attempts.find, count(1), Event()

    async def noted(*arguments: Any) -> Any:
        if next(arrived) == SIMULTANEOUS:
            everyone.set()
        return await look_up(*arguments)

    def waiting(*arguments: Any) -> Any:
        assert everyone.wait(PATIENCE_SECONDS)
        return find(*arguments)

    monkeypatch.setattr(Attempts, "find", noted)
    monkeypatch.setattr(api_keys, "find", waiting)


@pytest.mark.usefixtures("still", "together")
def test_simultaneous_requests_with_a_new_key_count_once(config: Config) -> None:
    with worker(replace(config, rate_limits=())) as client:
        program = create_key(newcomer(client, "alice"), "profile")
        responses = at_once(*[partial(program.get, "/protected")] * SIMULTANEOUS)
    assert {response.status_code for response in responses} == {200}


@pytest.mark.usefixtures("still", "together")
def test_simultaneous_requests_with_an_unknown_key_all_count(config: Config) -> None:
    with worker(replace(config, rate_limits=())) as client:
        program = replace(create_key(newcomer(client, "alice"), "profile"), key=unknown_key())
        responses = at_once(*[partial(program.get, "/protected")] * SIMULTANEOUS)
    assert Counter(response.status_code for response in responses) == {401: 60, 429: SIMULTANEOUS - 60}


@pytest.mark.usefixtures("still", "together")
def test_simultaneous_requests_with_a_new_key_fail_alike(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    find = api_keys.find

    def failing(*arguments: Any) -> Any:
        find(*arguments)
        raise DatabaseUnavailable()

    monkeypatch.setattr(api_keys, "find", failing)
    with worker(replace(config, rate_limits=())) as client:
        program = create_key(newcomer(client, "alice"), "profile")
        responses = at_once(*[partial(program.get, "/protected")] * SIMULTANEOUS)
    assert {response.status_code for response in responses} == {503}
