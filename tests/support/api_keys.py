"""API keys of test users, and programs that call with them."""

from dataclasses import dataclass
from typing import Any

import httpx

from api.crypto import prefixed_secrets
from tests.support.person import Person

KEYS = "/api/v1/keys"


@dataclass
class Program:
    """A client that sends an API key. `row` is the response that created it, without the key."""

    client: httpx.Client
    key: str
    row: dict[str, Any]

    @property
    def path(self) -> str:
        return f"{KEYS}/{self.row['id']}"

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path, headers={"Authorization": f"Bearer {self.key}"})


def create_key(person: Person, *scopes: str, **more: Any) -> Program:
    """Create an API key of a user who has just logged in."""
    response = person.post(KEYS, json={"name": "Nightly report", "scopes": [*scopes]} | more)
    assert response.status_code == 201, response.text
    row = response.json()
    return Program(person.client, row.pop("key"), row)


def unknown_key() -> str:
    """Return a key with the right checksum that no database knows."""
    return prefixed_secrets.make("key")


def change_key(person: Person, path: str, **changes: Any) -> httpx.Response:
    """Send a merge patch of an API key."""
    return person.patch(path, changes)
