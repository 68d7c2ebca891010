"""A request for each audit event that each operation declares."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import httpx
from starlette.testclient import TestClient

from api.config import Config
from api.storage.database import Database
from tests.support.admins import USERS, admin_of, change_user, dead_mail
from tests.support.api_keys import KEYS, change_key, create_key
from tests.support.codes import code_for, request_changes
from tests.support.person import PASSWORD, Person, newcomer
from tests.support.service_accounts import SERVICE_SCOPES, introspect, issue, new_service

WRONG, NEXT = "a wrong password, typed by hand", "another long passphrase for tests"
Json = dict[str, Any]
PAGE = {"Sec-Fetch-Site": "same-origin"}
DRIVEN_BY_COMMANDS = {"service_disabled", "service_enabled", "signing_key_retired", "signing_key_rotated"}


class Drive(NamedTuple):
    """A request to an operation, and the events that it must write, each once."""

    operation: str
    events: set[str]
    send: Callable[[], httpx.Response]


@dataclass
class World:
    """A client of the default settings, and one of an application that is `strict`.

    That one refuses unverified users, keeps one session for each user, and deletes at once.
    """

    config: Config
    database: Database
    client: TestClient
    strict: TestClient
    count: int = 0

    def user(self, client: TestClient | None = None) -> Person:
        """Return a new user who has logged in."""
        self.count += 1
        return newcomer(client or self.client, f"person{self.count}")

    def code(self, operation: str, person: Person) -> Json:
        return {"code": code_for(operation, self.config, self.database, person.username)}

    def anonymous(self, path: str, body: Json, client: TestClient | None = None) -> Callable[[], httpx.Response]:
        return lambda: (client or self.client).post(path, json=body, headers=PAGE)


def drives(world: World) -> Iterator[Drive]:
    """Yield the requests. Each is sent before the next one is made."""
    yield from _sign_ups(world)
    yield from _log_ins(world, "logIn", "/api/v1/auth/login")
    yield from _log_ins(world, "logInBrowser", "/api/v1/browser/login")
    yield from _sessions(world)
    yield from _passwords(world)
    yield from _emails(world)
    yield from _accounts(world)
    yield from _administration(world)
    yield from _services(world)
    yield from _keys(world)


def _sign_ups(world: World) -> Iterator[Drive]:
    form = Person(world.client, "newcomer").form
    yield Drive("signUp", {"user_created"}, world.anonymous("/api/v1/auth/signup", form))
    yield Drive(
        "requestSignUp",
        {"sign_up_requested"},
        world.anonymous("/api/v1/auth/signup/request", {"email": "a@example.com"}),
    )
    code = code_for("completeSignUp", world.config, world.database, "")
    for name in ("completed", "repeated"):
        body = {"code": code, "username": name, "password": PASSWORD}
        event = "user_created" if name == "completed" else "code_rejected"
        yield Drive("completeSignUp", {event}, world.anonymous("/api/v1/auth/signup/complete", body))


def _log_ins(world: World, operation: str, path: str) -> Iterator[Drive]:
    alice = world.user()
    good = {"username": alice.username, "password": PASSWORD}
    yield Drive(operation, {"session_issued"}, world.anonymous(path, good))
    yield Drive(operation, {"log_in_failed"}, world.anonymous(path, good | {"password": WRONG}))
    yield Drive(operation, {"log_in_refused"}, world.anonymous(path, good, world.strict))
    assert world.client.post("/api/v1/auth/email/verify", json=world.code("verifyEmail", alice)).status_code == 204
    yield Drive(operation, {"session_issued", "sessions_revoked"}, world.anonymous(path, good, world.strict))


def _sessions(world: World) -> Iterator[Drive]:
    alice = world.user()
    wrong, right = {"current_password": WRONG}, {"current_password": PASSWORD}
    yield Drive("stepUp", {"step_up_failed"}, lambda: alice.post("/api/v1/auth/step-up", json=wrong))
    yield Drive("stepUp", {"stepped_up"}, lambda: alice.post("/api/v1/auth/step-up", json=right))
    used = {"refresh_token": "A" * 64}
    yield Drive("refreshTokens", set(), world.anonymous("/api/v1/auth/refresh", used))
    first = replace(alice)
    yield Drive("refreshTokens", set(), alice.refresh)
    yield Drive(
        "refreshTokens",
        {"refresh_token_reused"},
        world.anonymous("/api/v1/auth/refresh", {"refresh_token": first.refresh_token}, world.strict),
    )
    alice.log_in()
    cookie = PAGE | {"Cookie": f"__Host-charter={alice.refresh_token}"}
    yield Drive("refreshBrowser", set(), lambda: world.client.post("/api/v1/browser/refresh", headers=cookie))
    yield Drive(
        "refreshBrowser",
        {"refresh_token_reused"},
        lambda: world.strict.post("/api/v1/browser/refresh", headers=cookie),
    )
    alice.log_in()
    again = PAGE | {"Cookie": f"__Host-charter={alice.refresh_token}"}
    yield Drive(
        "logOutBrowser", {"session_revoked"}, lambda: world.client.post("/api/v1/browser/logout", headers=again)
    )
    alice.log_in()
    yield Drive("logOut", {"session_revoked"}, alice.log_out)
    for _ in range(3):
        alice.log_in()
    yield Drive("revokeOtherSessions", {"sessions_revoked"}, lambda: alice.delete("/api/v1/sessions"))
    yield Drive("revokeOtherSessions", set(), lambda: alice.delete("/api/v1/sessions"))
    (own,) = alice.get("/api/v1/sessions").json()["items"]
    yield Drive("revokeSession", {"session_revoked"}, lambda: alice.delete(f"/api/v1/sessions/{own['id']}"))


def _passwords(world: World) -> Iterator[Drive]:
    alice = world.user()
    alice.log_in()
    path, body = "/api/v1/me/password", {"current_password": PASSWORD, "new_password": NEXT}
    wrong = body | {"current_password": WRONG}
    named = body | {"new_password": f"{alice.username} is in it"}
    yield Drive("changePassword", {"password_change_failed"}, lambda: alice.put(path, json=wrong))
    yield Drive("changePassword", set(), lambda: alice.put(path, json=named))
    yield Drive("changePassword", {"password_changed", "sessions_revoked"}, lambda: alice.put(path, json=body))
    asked = world.anonymous("/api/v1/auth/password/request", {"email": alice.email})
    yield Drive("requestPasswordReset", {"password_reset_requested"}, asked)
    reset = world.anonymous(
        "/api/v1/auth/password/reset", world.code("resetPassword", alice) | {"new_password": PASSWORD}
    )
    yield Drive("resetPassword", {"password_reset", "sessions_revoked"}, reset)
    yield Drive("resetPassword", {"code_rejected"}, reset)


def _emails(world: World) -> Iterator[Drive]:
    alice = world.user()
    path, body = "/api/v1/me/email", {"email": "new@example.com", "current_password": PASSWORD}
    asked = "/api/v1/me/email/verification"
    yield Drive("requestEmailVerification", {"email_verification_requested"}, lambda: alice.post(asked))
    yield from _with_code(world, "verifyEmail", "/api/v1/auth/email/verify", {"email_verified"}, alice)
    yield Drive("requestEmailVerification", set(), lambda: alice.post(asked))
    wrong = body | {"current_password": WRONG}
    yield Drive("requestEmailChange", {"email_change_failed"}, lambda: alice.put(path, json=wrong))
    yield Drive("requestEmailChange", {"email_change_requested"}, lambda: alice.put(path, json=body))
    yield Drive("cancelEmailChange", {"email_change_cancelled"}, lambda: alice.delete(f"{path}/pending"))
    yield Drive("cancelEmailChange", set(), lambda: alice.delete(f"{path}/pending"))
    yield from _with_code(world, "confirmEmailChange", "/api/v1/auth/email/confirm", {"email_changed"}, alice)
    create_key(alice, "profile")
    reverted = {"api_key_revoked", "email_reverted", "sessions_revoked"}
    yield from _with_code(world, "revertEmailChange", "/api/v1/auth/email/revert", reverted, alice)


def _with_code(world: World, operation: str, path: str, events: set[str], person: Person) -> Iterator[Drive]:
    send = world.anonymous(path, world.code(operation, person))
    yield Drive(operation, events, send)
    yield Drive(operation, {"code_rejected"}, send)


def _accounts(world: World) -> Iterator[Drive]:
    alice, bobby = world.user(), world.user()
    yield Drive("updateProfile", {"profile_changed"}, lambda: alice.change_profile(display_name="Alice"))
    yield Drive("updateProfile", set(), lambda: alice.change_profile(username=bobby.username))
    yield Drive("exportData", {"data_exported"}, lambda: alice.get("/api/v1/me/export"))
    path, body = "/api/v1/me/deletion", {"current_password": PASSWORD}
    wrong = {"current_password": WRONG}
    yield Drive("requestDeletion", {"deletion_failed"}, lambda: alice.post(path, json=wrong))
    requested = {"deletion_requested", "sessions_revoked"}
    yield Drive("requestDeletion", requested, lambda: alice.post(path, json=body))
    yield from _with_code(world, "restoreAccount", "/api/v1/auth/restore", {"deletion_cancelled"}, alice)
    hasty = replace(bobby, client=world.strict)
    request_changes(world.database)
    yield Drive("requestDeletion", requested | {"user_deleted"}, lambda: hasty.post(path, json=body))


def _administration(world: World) -> Iterator[Drive]:
    admin, alice = admin_of(world.config, world.client), world.user()
    path = f"{USERS}/{alice.id}"
    form = {"username": "created", "email": "created@example.com"}
    yield Drive("createUser", {"user_created"}, lambda: admin.post(USERS, json=form))
    yield Drive("createUser", set(), lambda: admin.post(USERS, json=form))
    invited = {"email": "guest@example.com"}
    yield Drive("inviteUser", {"user_invited"}, lambda: admin.post(f"{USERS}/invitations", json=invited))
    yield Drive("changeRole", {"role_changed"}, lambda: change_user(admin, alice, "demote"))
    yield Drive("changeRole", set(), lambda: change_user(admin, admin, "demote"))
    yield Drive("sendPasswordReset", {"password_reset_requested"}, lambda: admin.post(f"{path}/password-reset"))
    yield Drive("resetLimits", {"limits_reset"}, lambda: admin.delete(f"{path}/limits"))
    yield Drive("logUserOut", {"sessions_revoked"}, lambda: admin.delete(f"{path}/sessions"))
    alice.log_in()
    yield Drive("disableUser", {"user_disabled", "sessions_revoked"}, lambda: change_user(admin, alice, "disable"))
    yield Drive("enableUser", {"user_enabled"}, lambda: admin.post(f"{path}/enable"))
    yield Drive("deleteUser", {"user_deleted"}, lambda: change_user(admin, alice, "delete"))
    again = f"/api/v1/mails/{dead_mail(world.config, world.database)}/retry"
    yield Drive("retryMail", {"mail_retried"}, lambda: admin.post(again))
    yield Drive("retryMail", set(), lambda: admin.post(again))


def _services(world: World) -> Iterator[Drive]:
    admin, alice = admin_of(world.config, world.client, "root8"), world.user()
    service, path = new_service(world.config), "/api/v1/service-accounts"
    form = {"name": "reporting", "scopes": SERVICE_SCOPES}
    yield Drive("createServiceAccount", {"service_created"}, lambda: admin.post(path, json=form))
    yield Drive("createServiceAccount", set(), lambda: admin.post(path, json=form))
    yield Drive("issueToken", {"service_token_issued"}, lambda: issue(world.client, service))
    yield Drive("issueToken", set(), lambda: issue(world.client, service, scope="other"))
    yield Drive("introspectToken", set(), lambda: introspect(world.client, service, alice.token))
    for event in ({"token_revoked"}, set[str]()):
        yield Drive("revokeToken", event, lambda: world.client.post("/oauth/revoke", data={"token": alice.token}))
    own, rotation = f"{path}/{service.client_id}", {"overlap_seconds": 0}
    yield Drive("rotateServiceSecret", {"service_secret_rotated"}, lambda: admin.post(f"{own}/secret", json=rotation))
    for event in ({"service_deleted"}, set[str]()):
        yield Drive("deleteServiceAccount", event, lambda: admin.delete(own))


def _keys(world: World) -> Iterator[Drive]:
    alice = world.user()
    form, later = {"name": "Report", "scopes": ["profile"]}, {"name": "Report", "scopes": ["other"]}
    yield Drive("createApiKey", {"api_key_created"}, lambda: alice.post(KEYS, json=form))
    yield Drive("createApiKey", set(), lambda: alice.post(KEYS, json=later))
    key, leaked = create_key(alice, "profile"), create_key(alice, "profile")
    yield Drive("updateApiKey", {"api_key_changed"}, lambda: change_key(alice, key.path, name="Weekly report"))
    for event in ({"api_key_revoked"}, set[str]()):
        yield Drive("revokeApiKey", event, lambda: alice.delete(key.path))
        yield Drive("revokeToken", event, lambda: world.client.post("/oauth/revoke", data={"token": leaked.key}))
