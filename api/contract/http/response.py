"""A complete response, in the form of ASGI."""

import json
import re
from collections.abc import Iterable
from typing import NamedTuple

from starlette.types import Send

from api.errors import ApiError

Headers = list[tuple[bytes, bytes]]

# RFC 9110, section 5.5: control characters that could end a header or the connection.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Response(NamedTuple):
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


def problem_response(error: ApiError) -> Response:
    """Return the response for an error, as application/problem+json (RFC 9457)."""
    body = json.dumps(error.problem(), separators=(",", ":")).encode()
    headers = {"Content-Type": "application/problem+json", **error.headers, "Content-Length": str(len(body))}
    return Response(error.status.value, raw_headers(headers.items()), body)


def closing(headers: Headers) -> Headers:
    """Return the headers of a response after which the connection closes."""
    return [header for header in headers if header[0] != b"connection"] + [(b"connection", b"close")]


async def respond(send: Send, response: Response) -> None:
    """Send a complete response."""
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    await send({"type": "http.response.body", "body": response.body})
