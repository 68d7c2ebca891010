"""Sessions to write with, more than log-ins could make in time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jwt
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from tests.support.person import newcomer


@dataclass
class Live:
    """A session that goes on, as its client knows it; `asked` tells that it has not heard what came of a refresh."""

    id: str
    access_token: str
    refresh_token: str
    asked: bool = False
    ended: bool | None = False
    """None when it has not heard what came of the log-out."""

    def go_on(self, pair: dict[str, Any]) -> None:
        self.access_token, self.refresh_token, self.asked = pair["access_token"], pair["refresh_token"], False


def sessions(config: Config, count: int) -> Iterator[Live]:
    """So many, of one user, with the cheapest hashes there are."""
    with TestClient(create_app(replace(config, bcrypt_cost=4, hashes=4))) as client:
        alice = newcomer(client, "alice")
        for _ in range(count):
            pair = alice.log_in().json()
            yield Live(_session_id(pair["access_token"]), pair["access_token"], pair["refresh_token"])


def _session_id(token: str) -> str:
    return str(jwt.decode(token, options={"verify_signature": False})["sid"])
