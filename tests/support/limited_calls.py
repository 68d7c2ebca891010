"""Calls of the operations with rate limits."""

from collections.abc import Callable

import httpx

from tests.support.admins import USERS
from tests.support.api_keys import KEYS, change_key
from tests.support.person import PASSWORD, Person


def limited_calls(client: httpx.Client, alice: Person, admin: Person) -> dict[str, Callable[[], httpx.Response]]:
    """Return a call of each operation that has a rate limit, which can be made twice."""
    creation = {"username": "daniel", "email": "daniel@example.com"}
    change = {"current_password": "wrong", "new_password": "a better battery for this horse"}
    email = {"email": "alice@example.org", "current_password": "wrong"}
    reset = {"code": "0000-0000-0000", "new_password": "a better battery for this horse"}
    # The quota of an email is 1.
    emails = iter(["carol@example.com", "other@example.com"])
    completion = {"code": "0000-0000-0000", "username": "carol", "password": PASSWORD}
    credentials, cookie = {"username": alice.username, "password": PASSWORD}, {"cookie": "__Host-charter=unknown"}
    return {
        "logIn": alice.log_in,
        "logInBrowser": lambda: client.post("/api/v1/browser/login", json=credentials),
        "refreshBrowser": lambda: client.post("/api/v1/browser/refresh", headers=cookie),
        "logOutBrowser": lambda: client.post("/api/v1/browser/logout", headers=cookie),
        "refreshTokens": alice.refresh,
        "signUp": alice.sign_up,
        "stepUp": lambda: alice.post("/api/v1/auth/step-up", json={"current_password": "wrong"}),
        "changePassword": lambda: alice.put("/api/v1/me/password", json=change),
        "requestEmailChange": lambda: alice.put("/api/v1/me/email", json=email),
        "confirmEmailChange": lambda: client.post("/api/v1/auth/email/confirm", json={"code": reset["code"]}),
        "revertEmailChange": lambda: client.post("/api/v1/auth/email/revert", json={"code": reset["code"]}),
        "requestPasswordReset": lambda: client.post("/api/v1/auth/password/request", json={"email": alice.email}),
        "requestSignUp": lambda: client.post("/api/v1/auth/signup/request", json={"email": next(emails)}),
        "resetPassword": lambda: client.post("/api/v1/auth/password/reset", json=reset),
        "completeSignUp": lambda: client.post("/api/v1/auth/signup/complete", json=completion),
        "requestEmailVerification": lambda: alice.post("/api/v1/me/email/verification"),
        "verifyEmail": lambda: client.post("/api/v1/auth/email/verify", json={"code": reset["code"]}),
        "createApiKey": lambda: alice.post("/api/v1/keys", json={"name": "A", "scopes": ["profile"]}),
        "updateApiKey": lambda: change_key(alice, f"{KEYS}/{admin.id}", name="A"),
        "updateProfile": lambda: alice.change_profile(locale="de"),
        "exportData": lambda: alice.get("/api/v1/me/export"),
        "createUser": lambda: admin.post(USERS, json=creation),
        "inviteUser": lambda: admin.post(f"{USERS}/invitations", json={"email": "carol@example.com"}),
        "sendPasswordReset": lambda: admin.post(f"{USERS}/{admin.id}/password-reset"),
        "requestDeletion": lambda: alice.post("/api/v1/me/deletion", json={"current_password": "wrong"}),
        "revokeToken": lambda: client.post("/oauth/revoke", data={"token": "unknown"}),
        "restoreAccount": lambda: client.post("/api/v1/auth/restore", json={"code": "0000-0000-0000"}),
    }
