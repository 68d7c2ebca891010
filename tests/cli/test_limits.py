"""The `charter limits` commands, beside a running service."""

from collections import Counter
from dataclasses import replace

import httpx
import pytest

from api.app import create_app
from api.config import Config
from tests.support.charter import Charter, beside
from tests.support.person import newcomer
from tests.support.serving import serving

# A slow machine must not refill a budget.
SLOW = ("logIn.account=10/3600", "logIn.account-hour=20/3600", "logIn.address=20/3600")


@pytest.fixture
def charter(config: Config) -> Charter:
    made = beside(config)
    return replace(made, settings=made.settings | {"CHARTER_RATE_LIMITS": ",".join(SLOW)})


def lines(charter: Charter, *arguments: str) -> list[str]:
    result = charter.run("limits", *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


def test_budgets_of_a_user_and_an_address_are_shown_and_cleared(config: Config, charter: Charter) -> None:
    with serving(create_app(replace(config, rate_limits=SLOW))) as address, httpx.Client(base_url=address) as client:
        newcomer(client, "alice")

        def guess() -> int:
            body = {"username": "ALICE", "password": "wrong"}
            return client.post("/api/v1/auth/login", json=body).status_code

        assert Counter(guess() for _ in range(12)) == {401: 10, 429: 2}
        shown = lines(charter, "show", "alice")
        assert shown[0] == "OPERATION         POLICY        OF                        REMAINING     NEXT IN"
        words = [line.split() for line in shown[1:]]
        assert [line[:6] for line in words] == [
            ["logIn", "account", "alice", "0", "of", "10"],
            ["logIn", "account", "alice@example.com", "10", "of", "10"],
            ["logIn", "account-hour", "alice", "10", "of", "20"],
            ["logIn", "account-hour", "alice@example.com", "20", "of", "20"],
        ]
        used = {line.split()[0]: line.split()[3] for line in lines(charter, "show", "127.0.0.1")[1:]}
        # Refused requests take nothing.
        assert used == {"signUp": "59", "logIn": "9", "refreshTokens": "600"}
        assert lines(charter, "clear", "alice@example.com") == [
            "2 budgets of alice@example.com are full again. Processes notice within a second."
        ]
        assert [line.split()[3] for line in lines(charter, "show", "alice")[1:]] == ["10", "10", "20", "20"]


def test_names_of_unknown_users_have_budgets(config: Config, charter: Charter) -> None:
    with serving(create_app(replace(config, rate_limits=SLOW))) as address, httpx.Client(base_url=address) as client:
        client.post("/api/v1/auth/login", json={"username": "nobody9", "password": "wrong"})
        assert [line.split()[3] for line in lines(charter, "show", "nobody9")[1:]] == ["9", "19"]
