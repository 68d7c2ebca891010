"""A response in the form of ASGI: complete, or streamed."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from starlette.types import Receive, Send

from api.errors import ApiError

Headers = list[tuple[bytes, bytes]]

# RFC 9110, section 5.5: control characters that could end a header or the connection.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# RFC 9110, section 5.6.2: a token.
_NAME = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+")


class Response(NamedTuple):
    """A complete response. The names of its headers are in lower case."""

    status: int
    headers: Headers
    body: bytes


class StreamedResponse(NamedTuple):
    """A response whose chunks are made while it is sent.

    `next` returns the next chunk, or None after the last one. `close` ends the stream early, and releases its resources
    in any case.
    """

    status: int
    headers: Headers
    next: Callable[[], bytes | None]
    close: Callable[[], object]


def raw_headers(headers: Iterable[tuple[str, str]]) -> Headers:
    """Return the headers in the form of ASGI. Raises ValueError for an invalid name or a control character."""
    headers = list(headers)
    if not all(_NAME.fullmatch(name) for name, _ in headers):
        raise ValueError("the name of a header must be a token")
    if any(_CONTROL.search(value) for _, value in headers):
        raise ValueError("a header must not contain control characters")
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def problem_response(error: ApiError, *, oauth: bool = False) -> Response:
    """Return the response for an error, as application/problem+json (RFC 9457).

    With `oauth`, it has the member `error` as well, which OAuth clients read (RFC 6749, section 5.2).
    """
    members = error.problem() | ({"error": error.oauth_error} if oauth and error.oauth_error else {})
    body = json.dumps(members, separators=(",", ":")).encode()
    headers = {"Content-Type": "application/problem+json", **error.headers, "Content-Length": str(len(body))}
    return Response(error.status.value, raw_headers(headers.items()), body)


def closing(headers: Headers) -> Headers:
    """Return the headers of a response after which the connection closes."""
    return [header for header in headers if header[0] != b"connection"] + [(b"connection", b"close")]


async def respond(send: Send, response: Response) -> None:
    """Send a complete response."""
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    await send({"type": "http.response.body", "body": response.body})


async def stream(
    receive: Receive, send: Send, response: StreamedResponse, run: Callable[[Callable[[], Any]], Awaitable[Any]]
) -> None:
    """Send a streamed response chunk by chunk. `run` calls a function where it does not block other requests.

    The next chunk is made after the client has taken most of those before it, so a slow client occupies no thread. If
    the client disconnects, the stream is closed.
    """
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
        while not gone.done() and (chunk := await run(response.next)) is not None:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
        await run(response.close)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
