"""Header sections that are odd, ambiguous, huge or missing."""

from collections.abc import Callable
from random import Random

from tests.soak.abuse.marks import Marks

Lines = list[bytes]

_MEDIA_TYPES = [
    "application/json; charset=utf-7", "application/json; charset=cp037", "application/json;charset=hz",
    "application/json; charset=utf-8; charset=utf-16", "Application/JSON", "application/json ;  charset=UTF-8",
    'application/json; charset="utf-8"', "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
    "multipart/form-data", "text/plain", "application/problem+json", "*/*", "application/json, text/plain", ";",
    "application/json; charset=" + "x" * 500, "application/\xe4json",
]  # fmt: skip
_LINES = [
    "Expect: 100-continue", "Expect: 200-ok", "Upgrade: websocket", "Upgrade: h2c", "Connection: Upgrade",
    "Connection: Upgrade, HTTP2-Settings", "Connection: close", "Connection: keep-alive, TE", "Connection: Host",
    "Range: bytes=0-", "Range: bytes=5-1,-,9999999999999999-", "If-Match: *", "If-None-Match: *",
    "If-Modified-Since: Thu, 32 Foo 2099 99:99:99 GMT", "TE: trailers, deflate;q=0.5", "Max-Forwards: 0",
    "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: gopher", "X-Forwarded-Prefix: /x", "X-Forwarded-Host: evil.example",
    "Forwarded: for=\"_evil\";host=evil.example;proto=https", "X-Real-IP: ::1", "X-HTTP-Method-Override: DELETE",
    "X-Original-URL: /api/v1/me", "X-Request-ID: 1", "Content-Encoding: gzip", "Content-Encoding: identity",
    "Content-MD5: !", "Accept: text/html;q=2", "Accept-Language: \x80\xff", "Accept-Charset: utf-7",
    "Origin: null", "Access-Control-Request-Method: POST", "Cookie: \x01=\x02", "Transfer-Encoding: chunked",
    "Transfer-Encoding: identity", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding: xchunked", "Transfer-Encoding: chunked, chunked", "Content-Length: 0", "Content-Length: -1",
    "Content-Length: +5", "Content-Length: 0x10", "Content-Length: 5, 5", "Content-Length: 1_0",
    "Content-Length: " + "9" * 40, "Content-Length: " + "0" * 5000, "Content-Length:", "Content-Length: \xb2",
    "Authorization: Basic YTpi", "Authorization: Bearer", "Authorization: Bearer ", "Authorization: bearer a b c",
    "Authorization: Digest", "Authorization: \xff\xfe", "Authorization:", "Proxy-Authorization: Bearer x",
    "Host: evil.example", "Host: a b", "Host: [::1", "Host:", "Host: a:99999999", "Host: \xff", "Host: a, b",
    "wsgi.input: x", "Content_Length: 5", "Transfer_Encoding: chunked", "HTTP2-Settings: AAMAAABkAAQ",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Keep-Alive: timeout=0", "Trailer: Authorization", "Date: never",
]  # fmt: skip
_MARKED = ["Cookie: sid={}", "User-Agent: {}", "Referer: http://evil.example/?{}", "X-Api-Key: {}", "X-Odd: \xfc {}"]
_BROKEN = [
    b"X-Folded: a\r\n b", b"X-Tab:\ta\r\n\tb", b"X-Space : a", b" X-Leading: a", b"NoColon", b": no name", b":", b"",
    b"X\x00Nul: a", b"X-Nul: a\x00b", b"X-Cr: a\rb", b"X-Lf: a\nX-Two: b", b"X-Esc: \x1b[31m", b"X-Del: \x7f",
    b"X-\xc3\xa4: a", b"X(paren): a", b'X"quote": a', b"GET / HTTP/1.1", b"\xff\xff\xff\xff",
]  # fmt: skip


def mutated(rng: Random, lines: Lines, marks: Marks) -> Lines:
    """Return a header section after one to four mutations. All values in it are marked as secrets."""
    lines = [*lines, rng.choice(_MARKED).format(marks.secret(rng)).encode("latin-1")]
    for _ in range(rng.randint(1, 4)):
        rng.choice(_MUTATIONS)(rng, lines)
    return lines


def _add(rng: Random, lines: Lines) -> None:
    lines.insert(rng.randint(0, len(lines)), rng.choice(_LINES).encode("latin-1"))


def _break(rng: Random, lines: Lines) -> None:
    if rng.random() < 0.5:
        lines.insert(rng.randint(0, len(lines)), rng.choice(_BROKEN))


def _double(rng: Random, lines: Lines) -> None:
    if lines:
        line = rng.choice(lines)
        lines.insert(rng.randint(0, len(lines)), rng.choice([line, line.upper(), line + b"x"]))


def _drop(rng: Random, lines: Lines) -> None:
    if lines:
        lines.pop(rng.randrange(len(lines)))


def _retype(rng: Random, lines: Lines) -> None:
    lines[:] = [line for line in lines if not line.lower().startswith(b"content-type")]
    lines.append(f"Content-Type: {rng.choice(_MEDIA_TYPES)}".encode("latin-1"))


def _flip(rng: Random, lines: Lines) -> None:
    if lines:
        place = rng.randrange(len(lines))
        line, at = lines[place], rng.randint(0, len(lines[place]))
        lines[place] = line[:at] + bytes([rng.randrange(256)]) + line[at + 1 :]


def _inflate(rng: Random, lines: Lines) -> None:
    if rng.random() < 0.1:
        lines += rng.choice([[b"X-Huge: " + b"x" * rng.choice([8000, 17_000, 70_000])], [b"X: y"] * 3000])


_MUTATIONS: list[Callable[[Random, Lines], None]] = [_add, _add, _add, _break, _double, _drop, _retype, _flip, _inflate]
