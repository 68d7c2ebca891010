"""The rate limit of unknown API keys, by the address of the client."""

from dataclasses import replace
from functools import partial
from time import sleep
from typing import Any

import pytest

from api.config import Config
from api.services import api_keys
from tests.support.api_keys import create_key, unknown_key
from tests.support.concurrency import at_once
from tests.support.person import newcomer
from tests.support.problems import assert_problem
from tests.support.workers import statements, worker


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


@pytest.mark.usefixtures("still")
def test_simultaneous_requests_with_a_new_key_count_once(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    find = api_keys.find

    def slowly(*arguments: Any) -> Any:
        sleep(0.2)
        return find(*arguments)

    monkeypatch.setattr(api_keys, "find", slowly)
    with worker(replace(config, rate_limits=())) as client:
        program = create_key(newcomer(client, "alice"), "profile")
        responses = at_once(*[partial(program.get, "/protected")] * 80)
        assert {response.status_code for response in responses} == {200}
        # An unknown key counts each time.
        unknown = replace(program, key=unknown_key())
        responses = at_once(*[partial(unknown.get, "/protected")] * 61)
    assert sorted(response.status_code for response in responses) == [401] * 60 + [429]
