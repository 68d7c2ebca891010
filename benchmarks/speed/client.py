"""A client that prepares what a measurement needs."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from math import inf
from time import monotonic
from typing import Any, NamedTuple

from benchmarks.speed.load import Request

PASSWORD = "correct horse battery staple"  # noqa: S105 - the password of every user that a benchmark makes
SIGN_UP, LOG_IN, REFRESH = (f"/api/v1/auth/{name}" for name in ("signup", "login", "refresh"))
SESSIONS = "/api/v1/sessions"


class Response(NamedTuple):
    """A status, and the JSON of the body."""

    status: int
    body: Any


# Services close connections that are idle for longer.
_IDLE_SECONDS = 1


@dataclass
class Client:
    """One connection to a service. The service must be awake."""

    connection: HTTPConnection
    _used_at: float = -inf

    def send(self, request: Request) -> Response:
        """Return the response to a request."""
        if monotonic() > self._used_at + _IDLE_SECONDS:
            # The next request opens another connection.
            self.connection.close()
        self._used_at = monotonic()
        self.connection.request(request.method, request.path, request.body or None, request.headers)
        response = self.connection.getresponse()
        text = response.read()
        is_json = "json" in response.headers.get("Content-Type", "")
        return Response(response.status, json.loads(text) if is_json else None)

    def succeed(self, request: Request) -> Any:
        """Return the body of the response. Raises AssertionError if it is an error."""
        response = self.send(request)
        assert response.status < 300, response
        return response.body


@contextmanager
def connected(port: int) -> Iterator[Client]:
    """Yield a client of a port on this machine."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        yield Client(connection)
    finally:
        connection.close()


def sign_up(username: str) -> Request:
    """Return the request that signs a user up."""
    return _post(SIGN_UP, username=username, email=f"{username}@example.com", password=PASSWORD)


def log_in(username: str) -> Request:
    """Return the request that logs a user in."""
    return _post(LOG_IN, username=username, password=PASSWORD)


def refresh(token: str) -> Request:
    """Return the request that exchanges a refresh token."""
    return _post(REFRESH, refresh_token=token)


def refresh_tokens(client: Client, usernames: Iterable[str]) -> list[str]:
    """Log each user in, and return the refresh tokens."""
    return [client.succeed(log_in(username))["refresh_token"] for username in usernames]


def _post(path: str, **body: str) -> Request:
    return Request(path, body=json.dumps(body))
