"""A complete response, in the form of ASGI."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from starlette.types import Send

Headers = list[tuple[bytes, bytes]]

# RFC 9110, section 5.5: control characters that could end a header or the connection.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Reply(NamedTuple):
    """A complete response. The names of its headers are in lower case."""

    status: int
    headers: Headers
    body: bytes


def raw_headers(headers: Iterable[tuple[str, str]]) -> Headers:
    """Return the headers in the form of ASGI. Raises ValueError if one contains a control character."""
    headers = list(headers)
    if any(_CONTROL.search(part) for header in headers for part in header):
        raise ValueError("a header must not contain control characters")
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def respond(send: Send, reply: Reply) -> None:
    """Send a complete response."""
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "http.response.body", "body": reply.body})
