"""Roles: the scopes of a caller are those that the token and the role have."""

from time import sleep

from sqlalchemy import String

from api import contract
from api.config import Config
from api.config.paths import resource_dir
from api.models import User
from api.storage.database import table_of
from tests.support.person import newcomer
from tests.support.problems import assert_problem
from tests.support.roles import change_role
from tests.support.workers import worker


def test_a_change_of_the_role_acts_at_the_next_request(config: Config) -> None:
    with worker(config) as client:
        alice = newcomer(client, "alice")
        change_role(config, alice, "gone")
        sleep(0.1)
        # The contract has no such role, so it has no scopes.
        assert_problem(alice.get("/api/v1/me"), 403, "INSUFFICIENT_SCOPE")
        change_role(config, alice, "support")
        sleep(0.1)
        assert alice.get("/api/v1/me").json()["role"] == "support"


def test_a_token_never_gains_scopes(config: Config) -> None:
    with worker(config) as client:
        alice = newcomer(client, "alice")
        change_role(config, alice, "gone")
        alice.refresh()
        change_role(config, alice, "user")
        sleep(0.1)
        assert_problem(alice.get("/api/v1/me"), 403, "INSUFFICIENT_SCOPE")
        alice.refresh()
        assert alice.get("/api/v1/me").status_code == 200


def test_the_contract_names_each_role() -> None:
    document = contract.load(resource_dir("openapi"))
    role = table_of(User).c.role.type
    assert isinstance(role, String)
    assert max(map(len, document.roles)) <= (role.length or 0)
    assert {*document.document["components"]["schemas"]["Role"]["enum"]} == document.roles.keys()
