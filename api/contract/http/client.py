"""The client at the other end of the connection."""

from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.types import Scope


class Client(NamedTuple):
    """The client of a request: its address, and the first 255 printable characters of its `User-Agent`."""

    address: str
    user_agent: str


def client_of(scope: Scope) -> Client:
    """Return the client of a request. The edge has stored its address in the scope."""
    address, _ = scope.get("client") or ("", 0)
    agent = Headers(scope=scope).get("user-agent", "")
    return Client(address, "".join(filter(str.isprintable, agent))[:255])
