"""Requests of admins that wait while the caller is demoted, disabled or logged out: nothing changes."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from api import models
from api.config import Config
from api.contract.dispatch.view import HandlerView
from api.services.user_budgets import UserBudgets
from api.storage.database import Database
from tests.features.test_deletion import request as request_deletion
from tests.support.admins import USERS, admin_of, dead_mail
from tests.support.mailbox import Mailbox
from tests.support.person import Person, newcomer
from tests.support.problems import assert_problem
from tests.support.roles import promote
from tests.support.rows import count
from tests.support.service_accounts import SERVICE_SCOPES
from tests.support.workers import by_hand

SERVICES = "/api/v1/service-accounts"
CAROL = {"username": "carol", "email": "carol@example.com"}
DEMOTE = "UPDATE users SET role = 'support' WHERE username = 'root9'"
ENDS = {"403": DEMOTE, "401": "DELETE FROM sessions"}
"""The end of the caller's rights, by the status of the response."""

Call = Callable[[Person, str, str, str], httpx.Response]
CALLS: dict[str, Call] = {
    "changeRole": lambda admin, user, *_: admin.put(f"{user}/role", json={"role": "support"}),
    "createServiceAccount": lambda admin, *_: admin.post(SERVICES, json={"name": "shop", "scopes": SERVICE_SCOPES}),
    "createUser": lambda admin, *_: admin.post(USERS, json=CAROL | {"role": "admin"}),
    "deleteServiceAccount": lambda admin, _, service, __: admin.delete(service),
    "deleteUser": lambda admin, user, *_: admin.delete(user),
    "disableUser": lambda admin, user, *_: admin.post(f"{user}/disable"),
    "enableUser": lambda admin, user, *_: admin.post(f"{user}/enable"),
    "inviteUser": lambda admin, *_: admin.post("/api/v1/users/invitations", json={"email": CAROL["email"]}),
    "logUserOut": lambda admin, user, *_: admin.delete(f"{user}/sessions"),
    "resetLimits": lambda admin, user, *_: admin.delete(f"{user}/limits"),
    "retryMail": lambda admin, _, __, mail: admin.post(f"/api/v1/mails/{mail}/retry"),
    "rotateServiceSecret": lambda admin, _, service, __: admin.post(f"{service}/secret", json={"overlap_seconds": 0}),
    "sendPasswordReset": lambda admin, user, *_: admin.post(f"{user}/password-reset"),
}


@pytest.fixture
def admin(config: Config, client: TestClient, mailbox: Mailbox) -> Person:
    return admin_of(config, client)


@pytest.mark.slow
@pytest.mark.parametrize("status", ENDS)
@pytest.mark.parametrize("name", CALLS)
def test_a_request_of_a_former_admin_changes_nothing(
    config: Config, database: Database, admin: Person, monkeypatch: pytest.MonkeyPatch, name: str, status: str
) -> None:
    user = f"{USERS}/{newcomer(admin.client, 'alice').id}"
    made = admin.post(SERVICES, json={"name": "billing", "scopes": SERVICE_SCOPES})
    service, mail = made.headers["location"], dead_mail(config, database)
    transact = HandlerView._transact

    def change_first(view: HandlerView, *given: Any) -> Any:
        # The token is verified, and the transaction has not begun.
        by_hand(config, ENDS[status])
        return transact(view, *given)

    monkeypatch.setattr(HandlerView, "_transact", change_first)
    cleared: list[object] = []
    monkeypatch.setattr(UserBudgets, "clear", lambda _, user: cleared.append(user))
    before = count(database, models.events)
    response = CALLS[name](admin, user, service, mail)
    assert_problem(response, int(status), "INSUFFICIENT_SCOPE" if status == "403" else "INVALID_TOKEN")
    assert count(database, models.events) == before
    assert cleared == []


def test_an_admin_without_a_password_is_not_the_last_one(config: Config, client: TestClient, mailbox: Mailbox) -> None:
    admin = admin_of(config, client)
    assert admin.post(USERS, json=CAROL | {"role": "admin"}).status_code == 201
    other = promote(config, newcomer(client, "alice"), "admin")
    assert other.post(f"{USERS}/{admin.id}/disable").status_code == 204
    # Carol has no password yet.
    assert_problem(request_deletion(other), 409, "LAST_ADMIN")


def test_an_admin_can_end_the_own_sessions(admin: Person) -> None:
    assert admin.delete(f"{USERS}/{admin.id}/sessions").status_code == 204
    assert_problem(admin.get("/api/v1/me"), 401, "INVALID_TOKEN")
