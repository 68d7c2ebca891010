"""An answer as ASGI carries it."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from starlette.types import Send

Headers = list[tuple[bytes, bytes]]

# RFC 9110, section 5.5: what would end a header, or the connection.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Reply(NamedTuple):
    """A whole answer; the names of its headers are in lower case."""

    status: int
    headers: Headers
    body: bytes


def raw_headers(headers: Iterable[tuple[str, str]]) -> Headers:
    """Headers as ASGI carries them; raises ValueError for a control character in one."""
    headers = list(headers)
    if any(_CONTROL.search(part) for header in headers for part in header):
        raise ValueError("a control character in a header")
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def respond(send: Send, reply: Reply) -> None:
    """Send a whole answer."""
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "http.response.body", "body": reply.body})
