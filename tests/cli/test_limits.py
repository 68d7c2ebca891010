"""The `charter limits` commands, beside a running service."""

from collections import Counter
from dataclasses import replace

import httpx
import pytest
from alembic import command

from api.app import create_app
from api.config import Config
from api.storage import revisions
from api.storage.database import Database
from tests.support.charter import Charter, beside
from tests.support.databases import on_sqlite
from tests.support.person import newcomer
from tests.support.serving import serving

# A slow machine must not refill a budget.
SLOW = ("logIn.account=10/3600", "logIn.account-hour=20/3600", "logIn.address=20/3600")

# The budgets of alice after 12 guesses and a change with a wrong password.
BUDGETS = [
    ["signUp", "recipient", "alice@example.com", "4", "of", "5"],
    ["requestSignUp", "recipient", "alice@example.com", "1", "of", "1"],
    ["requestSignUp", "recipient-day", "alice@example.com", "3", "of", "3"],
    ["logIn", "account", "alice", "0", "of", "10"],
    ["logIn", "account", "alice@example.com", "10", "of", "10"],
    ["logIn", "account-hour", "alice", "10", "of", "20"],
    ["logIn", "account-hour", "alice@example.com", "20", "of", "20"],
    ["stepUp", "user", "alice", "10", "of", "10"],
    ["logInBrowser", "account", "alice", "10", "of", "10"],
    ["logInBrowser", "account", "alice@example.com", "10", "of", "10"],
    ["logInBrowser", "account-hour", "alice", "100", "of", "100"],
    ["logInBrowser", "account-hour", "alice@example.com", "100", "of", "100"],
    ["requestDeletion", "user", "alice", "10", "of", "10"],
    ["requestEmailVerification", "user", "alice", "5", "of", "5"],
    ["requestEmailChange", "user", "alice", "10", "of", "10"],
    ["requestEmailChange", "recipient", "alice@example.com", "5", "of", "5"],
    ["createApiKey", "user", "alice", "60", "of", "60"],
    ["updateApiKey", "user", "alice", "60", "of", "60"],
    ["changePassword", "user", "alice", "9", "of", "10"],
    ["requestPasswordReset", "recipient", "alice@example.com", "5", "of", "5"],
    ["updateProfile", "user", "alice", "60", "of", "60"],
    ["exportData", "user", "alice", "5", "of", "5"],
    ["createUser", "user", "alice", "600", "of", "600"],
    ["inviteUser", "user", "alice", "600", "of", "600"],
    ["sendPasswordReset", "user", "alice", "600", "of", "600"],
]


@pytest.fixture
def charter(config: Config) -> Charter:
    made = beside(config)
    return replace(made, settings=made.settings | {"CHARTER_RATE_LIMITS": ",".join(SLOW)})


def lines(charter: Charter, *arguments: str, warning: str = "") -> list[str]:
    result = charter.run("limits", *arguments)
    assert (result.returncode, result.stderr) == (0, warning)
    return result.stdout.splitlines()


def remaining(charter: Charter, subject: str, warning: str = "") -> list[str]:
    return [line.split()[3] for line in lines(charter, "show", subject, warning=warning)[1:]]


OF_ADDRESS = {
    "signUp": "59",
    "requestSignUp": "20",
    "completeSignUp": "30",
    "logIn": "19",
    "refreshTokens": "600",
    "logInBrowser": "60",
    "refreshBrowser": "600",
    "logOutBrowser": "600",
    "verifyEmail": "30",
    "confirmEmailChange": "30",
    "revertEmailChange": "30",
    "requestPasswordReset": "20",
    "resetPassword": "30",
    "restoreAccount": "30",
    "revokeToken": "60",
}


def guess(client: httpx.Client) -> int:
    return client.post("/api/v1/auth/login", json={"username": "ALICE", "password": "wrong"}).status_code


def test_budgets_of_a_user_and_an_address_are_shown_and_cleared(config: Config, charter: Charter) -> None:
    with (
        serving(create_app(replace(config, rate_limits=SLOW))) as address,
        httpx.Client(base_url=address) as client,
        httpx.Client(base_url=address, transport=httpx.HTTPTransport(local_address="127.0.0.2")) as stranger,
    ):
        alice = newcomer(client, "alice")

        assert Counter(guess(stranger) for _ in range(12)) == {401: 10, 429: 2}
        change = {"current_password": "wrong", "new_password": "a better battery for this horse"}
        assert alice.put("/api/v1/me/password", json=change).status_code == 403
        shown = lines(charter, "show", "alice")
        assert shown[0] == "OPERATION                 POLICY         OF                 REMAINING   NEXT IN"
        words = [line.split() for line in shown[1:]]
        assert [line[:6] for line in words] == BUDGETS
        start = shown[0].index("REMAINING")
        assert [line[start - 2 : start] for line in shown] == ["  "] * (len(BUDGETS) + 1)
        used = {line.split()[0]: line.split()[3] for line in lines(charter, "show", "127.0.0.1")[1:]}
        # Refused requests take nothing.
        assert used == OF_ADDRESS
        guesses = {line.split()[0]: line.split()[3] for line in lines(charter, "show", "127.0.0.2")[1:]}
        assert guesses["logIn"] == "10"
        assert lines(charter, "clear", "alice@example.com") == [
            "All budgets of alice@example.com are full. In use before: 4. Processes notice within a second."
        ]
        assert remaining(charter, "alice") == [row[-1] for row in BUDGETS]


def test_names_of_unknown_users_have_budgets(config: Config, charter: Charter) -> None:
    with serving(create_app(replace(config, rate_limits=SLOW))) as address, httpx.Client(base_url=address) as client:
        client.post("/api/v1/auth/login", json={"username": "nobody9", "password": "wrong"})
        assert remaining(charter, "nobody9", "Warning: no such user: nobody9\n") == ["9", "19", "10", "100"]


@pytest.mark.parametrize(
    ("address", "network"),
    [("2001:db8::5", "2001:db8::/64"), ("::ffff:203.0.113.7", "203.0.113.7"), ("203.0.113.7", "203.0.113.7")],
)
@on_sqlite
def test_the_network_that_has_the_budget_is_shown(charter: Charter, address: str, network: str) -> None:
    assert {line.split()[2] for line in lines(charter, "show", address)[1:]} == {network}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("off", "these rate limits are off; correct CHARTER_RATE_LIMITS to use them"),
        ("logn.address=1/1", "no operation has the rate limit logn.address; did you mean logIn.address?"),
    ],
)
@pytest.mark.parametrize("action", ["show", "clear"])
@on_sqlite
def test_a_setting_without_these_limits_is_an_error(charter: Charter, action: str, setting: str, message: str) -> None:
    charter.settings["CHARTER_RATE_LIMITS"] = setting
    result = charter.run("limits", action, "127.0.0.1")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == f"Error: {message}"


@pytest.mark.parametrize("subject", ["alice", "127.0.0.1"])
def test_a_database_that_is_behind_is_an_error(config: Config, charter: Charter, subject: str) -> None:
    database = Database(config.database_url)
    with revisions.migrating(database.engine) as alembic:
        command.downgrade(alembic, "0005")
    database.dispose()
    result = charter.run("limits", "show", subject)
    assert (result.returncode, result.stdout) == (1, "")
    hint = "The database is at another revision. Run charter migrate of the newest release and start it."
    assert result.stderr == f"Error: {hint}\n"
