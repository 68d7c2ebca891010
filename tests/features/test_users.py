"""The administration of users: create, invite, change, disable, log out and delete them."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from api.errors import LastAdmin
from api.services import roles
from api.storage.database import Database
from tests.features.test_deletion import request as request_deletion
from tests.features.test_deletion import rows_of
from tests.features.test_sessions import ACTIVE, ENDED, UNKNOWN, comparable, log_in_again, session_state
from tests.support.admins import USERS, admin_of, change_user
from tests.support.charter import until
from tests.support.concurrency import at_once
from tests.support.databases import on_postgresql, on_sqlite
from tests.support.mailbox import Mailbox
from tests.support.person import FRESH, PASSWORD, Person
from tests.support.problems import assert_problem
from tests.support.roles import change_role
from tests.support.scopes import USER_SCOPE
from tests.support.types import Events, Travel
from tests.support.workers import at, worker

DANIEL = {"username": "daniel", "email": "Daniel@EXAMPLE.com", "role": "support", "locale": "de"}


@pytest.fixture
def admin(config: Config, client: TestClient) -> Person:
    return admin_of(config, client)


def reset(client: httpx.Client, code: str) -> httpx.Response:
    return client.post("/api/v1/auth/password/reset", json={"code": code, "new_password": PASSWORD})


def test_a_created_user_sets_the_password_with_the_code_of_a_mail(
    client: TestClient, admin: Person, mailbox: Mailbox, events: Events
) -> None:
    response = admin.post(USERS, json=DANIEL)
    made = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"{USERS}/{made['id']}"
    assert events()[-1] == ("user_created", {"user_id": made["id"], "role": "support"})
    given = DANIEL | {"email": "Daniel@example.com", "id": made["id"], "created_at": made["created_at"]}
    assert made == FRESH | given | dict.fromkeys(["disabled_at", "deletes_at", "last_log_in_at"])
    daniel = Person(client, "daniel")
    assert comparable(daniel.log_in()) == comparable(Person(client, "alice").log_in())
    assert comparable(daniel.log_in(password="")) == comparable(Person(client, "alice").log_in(password=""))
    mail = mailbox.deliver()
    assert (mail.to, mail.message()["Subject"]) == (["Daniel@example.com"], "Charter: Ihr neues Konto")
    completion = {"code": mail.code(), "username": "carol", "password": PASSWORD}
    assert_problem(client.post("/api/v1/auth/signup/complete", json=completion), 403, "INVALID_CODE")
    assert reset(client, mail.code()).status_code == 204
    assert_problem(reset(client, mail.code()), 403, "INVALID_CODE")
    assert daniel.log_in().status_code == 200
    profile = daniel.get("/api/v1/me").json()
    assert (profile["email_verified"], profile["role"]) == (True, "support")
    assert admin.get(response.headers["location"]).json()["last_log_in_at"] is not None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"username": "ROOT9"}, "USERNAME_TAKEN"),
        ({"email": "ROOT9@example.com"}, "EMAIL_TAKEN"),
        ({"role": "superuser"}, "NOT_ALLOWED"),
        ({"role": ""}, "NOT_ALLOWED"),
        ({"id": UNKNOWN}, "UNKNOWN"),
        ({"password": PASSWORD}, "UNKNOWN"),
    ],
)
@on_sqlite
def test_a_rejected_creation_sends_no_mail(admin: Person, mailbox: Mailbox, body: dict[str, str], code: str) -> None:
    response = admin.post(USERS, json=DANIEL | body)
    if response.status_code == 400:
        assert [fault["code"] for fault in response.json()["errors"]] == [code]
    else:
        assert_problem(response, 409, code)
    assert mailbox.deliver().to == []


@on_postgresql
def test_mails_of_admins_need_a_mail_server(config: Config) -> None:
    with TestClient(create_app(replace(config, smtp_url=None))) as client:
        admin = admin_of(config, client)
        for path, body in (("", DANIEL), ("/invitations", {"email": "a@b.cd"}), (f"/{admin.id}/password-reset", None)):
            assert_problem(admin.post(f"{USERS}{path}", json=body), 503, "MAIL_UNAVAILABLE")


def test_an_invitation_lets_its_reader_sign_up(
    config: Config, client: TestClient, admin: Person, mailbox: Mailbox
) -> None:
    response = admin.post(f"{USERS}/invitations", json={"email": "carol@example.com", "locale": "de"})
    assert (response.status_code, response.json()) == (202, {"expires_in": 604800})
    mail = mailbox.deliver()
    assert mail.message()["Subject"] == "Charter: Sie sind eingeladen"
    # The response is the same for the email of a user.
    assert comparable(admin.post(f"{USERS}/invitations", json={"email": admin.email})) == comparable(response)
    assert_problem(reset(client, mail.code()), 403, "INVALID_CODE")
    with worker(replace(config, sign_up="closed")) as closed:
        completion = {"code": mail.code(), "username": "carol", "password": PASSWORD}
        assert closed.post("/api/v1/auth/signup/complete", json=completion).status_code == 201


def test_a_change_of_the_role_acts_on_another_worker(
    config: Config, client: TestClient, admin: Person, events: Events
) -> None:
    other = admin_of(config, client, "other9")
    with worker(config) as elsewhere:
        there = at(elsewhere, other)
        assert there.get(USERS).status_code == 200
        assert change_user(admin, other, "demote").status_code == 204
        assert events()[-1] == ("role_changed", {"user_id": other.id, "role": "user"})
        until(lambda: there.get(USERS).status_code == 403)
        assert there.get("/api/v1/me").json()["role"] == "user"
        assert there.refresh().json()["scope"] == USER_SCOPE
        assert admin.put(f"{USERS}/{other.id}/role", json={"role": "support"}).status_code == 204
        until(lambda: there.get("/api/v1/me").json()["role"] == "support")
        # A token never gains scopes.
        assert_problem(there.get(USERS), 403, "INSUFFICIENT_SCOPE")
        there.refresh()
        assert there.get(USERS).status_code == 200
        assert_problem(change_user(there, admin, "demote"), 403, "INSUFFICIENT_SCOPE")


def test_a_disabled_user_is_like_an_unknown_one(
    config: Config, client: TestClient, admin: Person, alice: Person, mailbox: Mailbox
) -> None:
    phone = log_in_again(alice)
    ended = replace(phone)
    with worker(config) as elsewhere:
        there = at(elsewhere, phone)
        assert there.get("/protected").status_code == 200
        assert change_user(admin, alice, "disable").status_code == 204
        until(lambda: there.get("/protected").status_code == 401)
    assert [session_state(person) for person in (alice, phone)] == [ENDED, ENDED]
    assert comparable(alice.log_in()) == comparable(admin.log_in(password="wrong"))
    admin.log_in()
    shown = admin.get(f"{USERS}/{alice.id}").json()
    assert (shown["disabled_at"] is not None, shown["deletes_at"]) == (True, None)
    assert admin.post(f"{USERS}/{alice.id}/password-reset").status_code == 202
    assert mailbox.deliver().to == []
    assert admin.post(f"{USERS}/{alice.id}/enable").status_code == 204
    assert session_state(ended) == ENDED
    assert alice.log_in().status_code == 200


def test_an_admin_ends_sessions_and_sends_a_reset(
    client: TestClient, admin: Person, alice: Person, mailbox: Mailbox, events: Events
) -> None:
    assert admin.delete(f"{USERS}/{alice.id}/sessions").status_code == 204
    assert [name for name, _ in events()] == ["session_revoked"]
    assert session_state(alice) == ENDED
    alice.log_in()
    response = admin.post(f"{USERS}/{alice.id}/password-reset")
    assert (response.status_code, response.json()) == (202, {"expires_in": 3600})
    assert events()[-1] == ("password_reset_requested", {"user_id": alice.id})
    assert session_state(alice) == ACTIVE
    assert reset(client, mailbox.deliver().code()).status_code == 204
    assert session_state(alice) == ENDED


def test_full_budgets_let_a_user_log_in_again(config: Config, alice: Person, travel: Travel, events: Events) -> None:
    # Alice is not known at this address.
    app = create_app(replace(config, rate_limits=("logIn.address=off",)))
    with TestClient(app, client=("192.0.2.9", 50_000)) as client:
        admin, stranger = admin_of(config, client), Person(client, "alice")
        assert [stranger.log_in(password="wrong").status_code for _ in range(11)] == [401] * 10 + [429]
        assert stranger.log_in().status_code == 429
        assert admin.delete(f"{USERS}/{alice.id}/limits").status_code == 204
        assert events()[-1] == ("limits_reset", {"user_id": alice.id})
        # The process remembers a refusal for a second.
        travel(timedelta(seconds=1))
        assert stranger.log_in().status_code == 200


def test_a_deleted_user_is_gone(
    client: TestClient, database: Database, admin: Person, alice: Person, mailbox: Mailbox, events: Events
) -> None:
    assert change_user(admin, alice, "delete").status_code == 204
    assert events()[-1] == ("user_deleted", {"user_id": alice.id})
    assert rows_of(database, alice.id) == {}
    assert session_state(alice) == ENDED
    assert_problem(admin.get(f"{USERS}/{alice.id}"), 404, "NOT_FOUND")
    assert mailbox.deliver().message()["Subject"] == "Charter: your account was deleted"
    assert_problem(Person(client, "alice").sign_up(), 409, "USERNAME_TAKEN")


@pytest.mark.parametrize("verb", ["demote", "disable", "delete"])
def test_admins_change_others_only(
    client: TestClient, config: Config, database: Database, admin: Person, verb: str
) -> None:
    assert_problem(change_user(admin, admin, verb), 409, "OWN_USER")
    other = admin_of(config, client, "other9")
    assert change_user(admin, other, verb).status_code == 204
    # A request that was authorized before the caller lost the role.
    with pytest.raises(LastAdmin), database.transaction() as db:
        roles.change(db, UUID(admin.id), "user")
    assert admin.get(USERS).status_code == 200


def test_the_last_admin_cannot_request_the_deletion(
    config: Config, client: TestClient, admin: Person, alice: Person
) -> None:
    assert_problem(request_deletion(admin), 409, "LAST_ADMIN")
    assert session_state(admin) == ACTIVE
    # The rule concerns admins only.
    change_role(config, alice, "support")
    assert request_deletion(alice).status_code == 202
    other = admin_of(config, client, "other9")
    statuses = at_once(*(partial(request_deletion, person) for person in (admin, other)))
    assert sorted(response.status_code for response in statuses) == [202, 409]


OPERATIONS: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("DELETE", "", None),
    ("PUT", "/role", {"role": "admin"}),
    ("PUT", "/role", {"role": "user"}),
    ("POST", "/disable", None),
    ("POST", "/enable", None),
    ("DELETE", "/sessions", None),
    ("POST", "/password-reset", None),
    ("DELETE", "/limits", None),
]


@on_sqlite
def test_an_unknown_user_is_not_found(admin: Person) -> None:
    for method, path, body in OPERATIONS:
        response = admin.client.request(method, f"{USERS}/{UNKNOWN}{path}", json=body, headers=admin.headers)
        assert_problem(response, 404, "NOT_FOUND")


@on_sqlite
def test_changes_of_roles_and_deletions_need_a_recent_log_in(admin: Person, alice: Person, travel: Travel) -> None:
    travel(timedelta(seconds=901))
    admin.refresh()
    for response in (
        admin.post(USERS, json=DANIEL),
        change_user(admin, alice, "demote"),
        admin.delete(f"{USERS}/{alice.id}"),
    ):
        assert_problem(response, 401, "STEP_UP_REQUIRED")
    assert change_user(admin, alice, "disable").status_code == 204
    body = {"current_password": PASSWORD}
    assert admin.post("/api/v1/auth/step-up", json=body).status_code == 204
    assert change_user(admin, alice, "delete").status_code == 204
