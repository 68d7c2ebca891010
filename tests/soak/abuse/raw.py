"""Bytes that are not quite HTTP: smuggled, unfinished, piecemeal, or of another protocol."""

from collections.abc import Callable
from random import Random

from tests.soak.abuse.marks import Marks

Pieces = list[bytes]

_SMUGGLED = b"GET /api/v1/me HTTP/1.1\r\nHost: a\r\n\r\n"
_FOREIGN = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x42" * 500, b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", b"SSH-2.0-OpenSSH_9.9\r\n",
    b"EHLO evil.example\r\n", b"\x05\x01\x00", b"*1\r\n$4\r\nPING\r\n", b"\x00" * 300, b"\xff" * 300, b"\r\n\r\n\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET /ping HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /ping\r\n", b"GET\r\n\r\n",
    b"GET /ping HTTP/0.9\r\n\r\n", b"GET /ping HTTP/1.2\r\nHost: a\r\n\r\n", b"GET /ping http/1.1\r\nHost: a\r\n\r\n",
    b"GET  /ping HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /ping HTTP/1.1 \r\nHost: a\r\n\r\n",
    b"GET\t/ping\tHTTP/1.1\r\n\r\n",
    b"GET /ping HTTP/1.1\nHost: a\n\n", b"GET /ping HTTP/1.1\rHost: a\r\r", b"HTTP/1.1 200 OK\r\n\r\n",
    b" GET /ping HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /ping HTTP/1.1\r\n Host: a\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
]  # fmt: skip
_AMBIGUOUS = [
    "Content-Length: {n}\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: {n}",
    "Content-Length: {n}\r\nContent-Length: 0", "Content-Length: {n}\r\nContent-Length: {n}",
    "Content-Length: {n}, {n}",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding : chunked", "Transfer-Encoding:\x0bchunked", "Transfer-Encoding: chunked, cow",
    "Transfer-Encoding: \"chunked\"", "Transfer-Encoding\r\n: chunked", "X: y\rTransfer-Encoding: chunked",
    "Content-Length: +{n}", "Content-Length: -{n}", "Content-Length: {n}e0", "Content-Length: 0x{n}",
    "Content-Length: {n};a", "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: {n}",
]  # fmt: skip
_CHUNKS = [
    b"0x1\r\na\r\n0\r\n\r\n", b"-1\r\na\r\n0\r\n\r\n", b" 1\r\na\r\n0\r\n\r\n", b"1 \r\na\r\n0\r\n\r\n", b"1\na\n0\n\n",
    b"1\r\nab\r\n0\r\n\r\n", b"ffffffffffffffff\r\na\r\n0\r\n\r\n", b"1;a=" + b"b" * 5000 + b"\r\na\r\n0\r\n\r\n",
    b'1;a="\r\n"\r\na\r\n0\r\n\r\n', b"00000001\r\na\r\n0\r\n\r\n", b"1\r\na\r\n0\r\nAuthorization: x\r\n\r\n",
    b"1\r\na\r\n0\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", b"1\r\na\r\n0\r\nbroken\r\n\r\n", b"1\r\na\r\n0\r\n",
    b"z\r\n", b"\r\n", b"g" * 200, b"1;\x00\r\na\r\n0\r\n\r\n", b"1\r\na0\r\n\r\n",
]  # fmt: skip


def hostile(rng: Random, plain: Callable[[], bytes], marks: Marks) -> Pieces:
    """Return the bytes of a connection, in pieces with a pause between them. `plain` makes a valid request."""
    return rng.choice(_SHAPES)(rng, plain, marks)


def _foreign(rng: Random, plain: Callable[[], bytes], marks: Marks) -> Pieces:
    return [rng.choice([b"", b"", plain()]) + rng.choice(_FOREIGN)]


def _smuggled(rng: Random, plain: Callable[[], bytes], marks: Marks) -> Pieces:
    body = rng.choice([b"0\r\n\r\n" + _SMUGGLED, _SMUGGLED, b"%x\r\n%s\r\n0\r\n\r\n" % (len(_SMUGGLED), _SMUGGLED)])
    lines = rng.choice(_AMBIGUOUS).replace("{n}", str(rng.choice([len(body), 5, 6, 4])))
    cookie = f"Cookie: {marks.secret(rng)}\r\n"
    return [f"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\n{cookie}{lines}\r\n\r\n".encode("latin-1") + body]


def _chunked(rng: Random, plain: Callable[[], bytes], marks: Marks) -> Pieces:
    path = rng.choice(["/ping", "/api/v1/auth/login", "/nothing"])
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return [head.encode(), rng.choice(_CHUNKS)] if rng.random() < 0.2 else [head.encode() + rng.choice(_CHUNKS)]


def _pipelined(rng: Random, plain: Callable[[], bytes], marks: Marks) -> Pieces:
    return [b"".join(plain() for _ in range(rng.randint(2, 8)))]


def _mixed(rng: Random, plain: Callable[[], bytes], marks: Marks) -> Pieces:
    """Return valid requests, an invalid one, and valid ones after it that must not get a response."""
    bad = b"".join(rng.choice([_foreign, _smuggled, _chunked])(rng, plain, marks))
    return [b"".join(plain() for _ in range(rng.randint(1, 3))) + bad + plain()]


def _unfinished(rng: Random, plain: Callable[[], bytes], marks: Marks) -> Pieces:
    data = plain()
    return [data[: rng.randrange(1, len(data))]]


def _piecemeal(rng: Random, plain: Callable[[], bytes], marks: Marks) -> Pieces:
    data = plain()
    cuts = sorted(rng.randint(0, len(data)) for _ in range(rng.randint(1, 5)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def _spoiled(rng: Random, plain: Callable[[], bytes], marks: Marks) -> Pieces:
    data = bytearray(plain())
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.choice([0, 9, 10, 13, 32, 58, 127, 128, 255, rng.randrange(256)])
    return [bytes(data)]


_SHAPES: list[Callable[[Random, Callable[[], bytes], Marks], Pieces]] = [
    _foreign, _smuggled, _smuggled, _chunked, _pipelined, _mixed, _unfinished, _piecemeal, _spoiled,
]  # fmt: skip
