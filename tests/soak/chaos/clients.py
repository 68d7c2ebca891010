"""Sessions for the load, created faster than log-ins could."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jwt
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from tests.support.person import newcomer

MANY_SESSIONS = 10_000
"""The limit of sessions per user. All sessions of the load belong to one user."""


@dataclass
class Live:
    """A live session, as its client knows it. `pending` is True while the result of a refresh is unknown."""

    id: str
    access_token: str
    refresh_token: str
    pending: bool = False
    ended: bool | None = False
    """True after a log-out, and None while the result of the log-out is unknown."""

    def continue_with(self, pair: dict[str, Any]) -> None:
        self.access_token, self.refresh_token, self.pending = pair["access_token"], pair["refresh_token"], False


def sessions(config: Config, count: int) -> Iterator[Live]:
    """Create this number of sessions of one user, with the cheapest hashes."""
    config = replace(config, bcrypt_cost=4, hashes=4, sessions_per_user=MANY_SESSIONS)
    with TestClient(create_app(config)) as client:
        alice = newcomer(client, "alice")
        for _ in range(count):
            pair = alice.log_in().json()
            yield Live(session_id(pair["access_token"]), pair["access_token"], pair["refresh_token"])


def session_id(token: str) -> str:
    """Return the session of an access token, without verifying the token."""
    return str(jwt.decode(token, options={"verify_signature": False})["sid"])
