"""A parser for the framing of HTTP/1 (RFC 9112) that is independent of the server."""

import re
from typing import NamedTuple

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TARGET = rb"/[!-~]*|[A-Za-z]+://[A-Za-z0-9.]+(?::[0-9]*)?(?:/[!-~]*)?|\*"
# Servers may accept empty lines before the request line, also without CR, and several spaces in it (RFC 9112, sections
# 2.2 and 3). The server's parser skips a lone CR there as well. None of these bytes can be part of a request.
_LINE = re.compile(rb"[\r\n]*(%s) +(%s) +HTTP/1\.([01])\r\n" % (_TOKEN, _TARGET))
_FIELD = re.compile(rb"(%s):[ \t]*((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)[ \t]*" % _TOKEN)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t -~\x80-\xff]*)?\r\n")
_TRAILERS = re.compile(rb"(?:%s:[\t -~\x80-\xff]*\r\n)*\r\n" % _TOKEN)
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]*)?")


class Request(NamedTuple):
    """A request that every HTTP/1 parser reads the same way."""

    method: bytes
    is_last: bool
    """True if the request itself ends the connection."""
    has_body: bool
    is_connect: bool


def split(data: bytes) -> tuple[list[Request], bytes]:
    """Return the well-framed requests at the start of the bytes, and the rest, which is incomplete or not HTTP."""
    requests = []
    while data:
        found = _first(data)
        if found is None:
            break
        request, length = found
        requests.append(request)
        data = data[length:]
    return requests, data


def _first(data: bytes) -> tuple[Request, int] | None:
    matched = _LINE.match(data)
    end = data.find(b"\r\n\r\n", matched.end() - 2) if matched else -1
    headers = _headers(data[matched.end() : end]) if matched and end >= 0 else None
    if matched is None or headers is None:
        return None
    version, start = matched[3], end + 4
    length = _body_length(data, start, headers, version) if _has_host(headers, version) else None
    if length is None:
        return None
    connection = b",".join(headers.get(b"connection", [])).lower()
    request = Request(
        matched[1],
        is_last=version == b"0" or b"close" in connection,
        has_body=b"transfer-encoding" in headers or length > 0,
        is_connect=matched[1] == b"CONNECT",
    )
    return request, start + length


def _headers(section: bytes) -> dict[bytes, list[bytes]] | None:
    headers: dict[bytes, list[bytes]] = {}
    for field in section.split(b"\r\n") if section else ():
        matched = _FIELD.fullmatch(field)
        if matched is None:
            return None
        headers.setdefault(matched[1].lower(), []).append(matched[2])
    return headers


def _has_host(headers: dict[bytes, list[bytes]], version: bytes) -> bool:
    hosts = headers.get(b"host", [])
    return (len(hosts) == 1 and bool(_HOST.fullmatch(hosts[0]))) or (version == b"0" and not hosts)


def _body_length(data: bytes, start: int, headers: dict[bytes, list[bytes]], version: bytes) -> int | None:
    """Return the length of the body on the wire, or None if it is ambiguous or the body is incomplete."""
    lengths, codings = headers.get(b"content-length", []), headers.get(b"transfer-encoding", [])
    if codings:
        is_plain = [coding.lower() for coding in codings] == [b"chunked"]
        return _chunked_length(data, start) if is_plain and not lengths and version == b"1" else None
    if not lengths:
        return 0
    if len(lengths) > 1 or not re.fullmatch(rb"[0-9]{1,18}", lengths[0]):
        return None
    length = int(lengths[0])
    return length if len(data) - start >= length else None


def _chunked_length(data: bytes, start: int) -> int | None:
    place = start
    while (matched := _CHUNK.match(data, place)) is not None:
        size = int(matched[1], 16)
        if size == 0:
            trailers = _TRAILERS.match(data, matched.end())
            return trailers.end() - start if trailers else None
        place = matched.end() + size + 2
        if data[place - 2 : place] != b"\r\n":
            return None
    return None
