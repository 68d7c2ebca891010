"""The client at the other end of the connection."""

from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.types import Scope


class Client(NamedTuple):
    """The client of a request: its address, and the first 255 printable characters of its `User-Agent`."""

    address: str
    user_agent: str


def client_of(scope: Scope) -> Client:
    """Return the client of a request."""
    agent = Headers(scope=scope).get("user-agent", "")
    return Client(address_of(scope), "".join(filter(str.isprintable, agent))[:255])


def address_of(scope: Scope) -> str:
    """Return the address of the client, which the edge has stored in the scope. It is empty if the socket has none."""
    address, _ = scope.get("client") or ("", 0)
    return str(address)
