"""Roles: the scopes of a caller are those that the token and the role have."""

from time import sleep
from typing import Any

import pytest
from sqlalchemy import String

from api import contract, models
from api.config import Config
from api.config.paths import resource_dir
from api.crypto.password_hasher import PasswordHasher
from tests.support.person import newcomer
from tests.support.problems import assert_problem
from tests.support.roles import change_role, promote
from tests.support.scopes import USER_SCOPE
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


def test_a_demotion_during_the_log_in_counts(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    verify = PasswordHasher.verify
    with worker(config) as client:
        alice = newcomer(client, "alice")
        change_role(config, alice, "admin")

        def demote_meanwhile(*given: Any) -> bool:
            change_role(config, alice, "user")
            return verify(*given)

        monkeypatch.setattr(PasswordHasher, "verify", demote_meanwhile)
        assert alice.log_in().json()["scope"] == USER_SCOPE
        assert alice.get("/api/v1/me").json()["role"] == "user"


def test_nobody_gives_or_takes_a_role_with_more_scopes(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    document = contract.load(resource_dir("openapi"))
    roles = document.document["x-roles"]
    manager = [*roles["user"], "users:read", "users:write"]
    changed = contract.Contract(document.document | {"x-roles": roles | {"manager": manager}})
    monkeypatch.setattr("api.contract.load", lambda _: changed)
    with worker(config) as client:
        admin, user = promote(config, newcomer(client, "root9"), "admin"), newcomer(client, "alice")
        boss = promote(config, newcomer(client, "boss9"), "manager")
        own = f"/api/v1/users/{admin.id}"
        form = {"username": "carol", "email": "carol@example.com", "role": "admin"}
        for refused in (
            boss.post("/api/v1/users", json=form),
            boss.put(f"/api/v1/users/{user.id}/role", json={"role": "admin"}),
            boss.put(f"{own}/role", json={"role": "user"}),
            boss.post(f"{own}/disable"),
            boss.post(f"{own}/enable"),
            boss.post(f"{own}/password-reset"),
            boss.delete(f"{own}/limits"),
            boss.delete(f"{own}/sessions"),
            boss.delete(own),
        ):
            assert_problem(refused, 403, "INSUFFICIENT_SCOPE")
        assert boss.post(f"/api/v1/users/{user.id}/disable").status_code == 204


def test_the_contract_names_each_role() -> None:
    document = contract.load(resource_dir("openapi"))
    role = models.users.c.role.type
    assert isinstance(role, String)
    assert max(map(len, document.roles)) <= (role.length or 0)
    assert {*document.document["components"]["schemas"]["Role"]["enum"]} == document.roles.keys()
