"""Who is at the other end of the connection."""

from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.types import Scope


class Client(NamedTuple):
    """What sent a request: its address, and what it calls itself (`User-Agent`), cut to what is fit to be kept."""

    address: str
    user_agent: str


def client_of(scope: Scope) -> Client:
    """The client behind an ASGI scope."""
    address, _ = scope.get("client") or ("", 0)
    agent = Headers(scope=scope).get("user-agent", "")
    # The zone of a link-local address means something to this host alone (RFC 6874).
    return Client(address.partition("%")[0], "".join(filter(str.isprintable, agent))[:255])
