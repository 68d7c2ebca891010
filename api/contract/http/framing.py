"""Reject requests that two readers could interpret differently, and header sections that are too large."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from starlette.types import Scope

from api.errors import HeadersTooLarge, MalformedRequest

Fields = Mapping[bytes, bytes]

HEADER_BYTES = 16 * 1024
_SINGLE = frozenset({b"authorization", b"content-length", b"content-type", b"host", b"transfer-encoding"})
# RFC 3986, section 3.2.2: a name, an IPv4 address or an IPv6 address in brackets, and an optional port.
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]{0,5})?")


def check(scope: Scope, fields: Fields) -> None:
    """Check the framing and the header section of a request.

    Raises HeadersTooLarge for over 16 KiB, and MalformedRequest for requests that RFC 9112 requires servers to reject.
    """
    headers = scope["headers"]
    line = len(scope["raw_path"]) + len(scope["query_string"])
    if line + sum([len(name) + len(value) + 4 for name, value in headers]) > HEADER_BYTES:
        raise HeadersTooLarge(HEADER_BYTES)
    if len(fields) < len(headers) and _repeats(headers):
        raise MalformedRequest()
    if not scope["query_string"].isascii():
        raise MalformedRequest()
    _check_version(scope["http_version"], fields)


def _repeats(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return True if a header is repeated that must occur at most once."""
    counts = Counter(name for name, _ in headers)
    return any(counts[name] > 1 for name in _SINGLE)


def _check_version(version: str, headers: Fields) -> None:
    if version not in {"1.0", "1.1"} or (version == "1.1" and b"host" not in headers):
        raise MalformedRequest()
    if not _HOST.fullmatch(headers.get(b"host", b"")):
        raise MalformedRequest()
    coding = headers.get(b"transfer-encoding")
    if coding is not None and (coding.lower() != b"chunked" or version == "1.0"):
        raise MalformedRequest()


def announces_body(fields: Fields) -> bool:
    """Return True if a body follows these headers."""
    return b"transfer-encoding" in fields or fields.get(b"content-length", b"0") != b"0"
