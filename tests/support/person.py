"""A user of the API, with the tokens of the last log-in or refresh."""

from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.scopes import USER_SCOPE

PASSWORD = "correct horse battery staple"
FRESH = {"email_verified": False, "pending_email": None, "display_name": None, "locale": None, "role": "user"}
"""The parts of a profile that a new user has not set."""


@dataclass
class Person:
    """A user with a username, an email, a password, and the tokens of the last log-in or refresh."""

    client: httpx.Client
    username: str
    password: str = PASSWORD
    token: str = ""
    refresh_token: str = ""
    device_token: str = ""
    id: str = field(default="", init=False)

    @property
    def email(self) -> str:
        return f"{self.username}@example.com"

    @property
    def form(self) -> dict[str, str]:
        """Return the sign-up form of this user."""
        return {"username": self.username, "email": self.email, "password": self.password}

    def sign_up(self) -> httpx.Response:
        response = self.client.post("/api/v1/auth/signup", json=self.form)
        self.id = response.json().get("id", "")
        return response

    def log_in(self, **instead: str) -> httpx.Response:
        """Log in. `username` or `password` replaces the user's own."""
        body = {"username": self.username, "password": self.password} | instead
        return self._keep(self.client.post("/api/v1/auth/login", json=body))

    def refresh(self) -> httpx.Response:
        return self._keep(self.client.post("/api/v1/auth/refresh", json={"refresh_token": self.refresh_token}))

    def _keep(self, response: httpx.Response) -> httpx.Response:
        self.token = response.json().get("access_token", "")
        self.refresh_token = response.json().get("refresh_token", "")
        # Only a log-in returns one.
        self.device_token = response.json().get("device_token", "")
        return response

    def log_out(self) -> httpx.Response:
        return self.post("/api/v1/auth/logout")

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path, headers=self.headers)

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.client.post(path, headers=self.headers, **body)

    def put(self, path: str, **body: Any) -> httpx.Response:
        return self.client.put(path, headers=self.headers, **body)

    def patch(self, path: str, changes: dict[str, Any]) -> httpx.Response:
        """Send a merge patch (RFC 7396)."""
        headers = self.headers | {"Content-Type": "application/merge-patch+json"}
        return self.client.patch(path, headers=headers, json=changes)

    def change_profile(self, **changes: Any) -> httpx.Response:
        """Send a merge patch of the profile."""
        return self.patch("/api/v1/me", changes)

    def delete(self, path: str) -> httpx.Response:
        return self.client.delete(path, headers=self.headers)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def newcomer(client: httpx.Client, username: str) -> Person:
    """Return a new user who has signed up and logged in."""
    person = Person(client, username)
    assert person.sign_up().status_code == 201
    assert person.log_in().status_code == 200
    return person


def token_pair(person: Person) -> dict[str, object]:
    """Return the body of the response that gave a user the current tokens, with the default settings."""
    return {
        "access_token": person.token,
        "token_type": "Bearer",
        "expires_in": 900,
        "refresh_token": person.refresh_token,
        "refresh_expires_in": 2_592_000,
        "scope": USER_SCOPE,
        **({"device_token": person.device_token} if person.device_token else {}),
    }
