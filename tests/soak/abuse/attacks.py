"""Hostile requests from a seed. The seed and the number of an attack determine its kind and its bytes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import NamedTuple

from tests.soak.abuse import bodies, headers, raw, targets, tokens
from tests.soak.abuse.framing import Request, split
from tests.soak.abuse.marks import Marks
from tests.soak.abuse.tokens import Forger

_SIGN_UP, _LOG_IN, _REFRESH = "/api/v1/auth/signup", "/api/v1/auth/login", "/api/v1/auth/refresh"
_PASSWORD, _SESSIONS = "/api/v1/me/password", "/api/v1/sessions"
_PROTECTED = ["/protected", "/api/v1/me", _SESSIONS]


class Attack(NamedTuple):
    """Bytes for a connection. After them the client may half-close (`FIN`), reset (`RST`), or wait."""

    kind: str
    pieces: list[bytes]
    ending: str = ""
    is_refused: bool = False
    """True if HTTP allows the request but its success would be a defect."""

    def read(self) -> tuple[list[Request], bytes]:
        """Return the requests in the bytes, and the rest, which is not a request."""
        return split(b"".join(self.pieces))


@dataclass
class Attacks:
    """A stream of attacks from a client with a token. At most one in `hash_every` may cost the server a hash."""

    seed: str
    forger: Forger
    marks: Marks
    hash_every: int = 200
    _hashes: int = field(default=0, init=False)

    def stream(self, count: int) -> Iterator[Attack]:
        """Yield the first `count` attacks."""
        number = made = 0
        while made < count:
            attack = self._attack(Random(f"{self.seed}/{number}"))
            number += 1
            if self._affords(attack, made):
                made += 1
                yield attack

    def _affords(self, attack: Attack, made: int) -> bool:
        cost = sum(_may_be_hashed(part) for part in b"".join(attack.pieces).split(b"\r\n\r\n"))
        if self._hashes + cost > 10 + made // self.hash_every:
            return cost == 0
        self._hashes += cost
        return True

    def _attack(self, rng: Random) -> Attack:
        kind = rng.choices(["body", "header", "target", "token", "raw"], [30, 20, 20, 15, 15])[0]
        if kind == "raw":
            pieces = raw.hostile(rng, partial(self._plain, rng), self.marks)
            return Attack(kind, pieces, rng.choices(["", "FIN", "RST"], [6, 3, 1])[0])
        if kind == "token":
            return self._token(rng)
        make = {"body": self._body, "header": self._header, "target": self._target}[kind]
        return Attack(kind, [make(rng)])

    def _body(self, rng: Random) -> bytes:
        method, path, form = self._form(rng)
        body = bodies.mutated(rng, form)
        if rng.random() < 0.01:
            body += b" " * rng.choice([65_536, 66_000, 200_000])
        lines = [b"Host: a", b"Content-Type: application/json", f"Cookie: a={self.marks.secret(rng)}".encode()]
        if path == _PASSWORD:
            lines.append(self._authorization)
        return _request(method, path, lines, body, chunked=rng.random() < 0.2)

    def _header(self, rng: Random) -> bytes:
        method, path, form = self._form(rng)
        body = bodies.mutated(rng, form)
        method, path, body = rng.choice([(method, path, body), ("GET", "/ping", b""), ("GET", "/protected", b"")])
        lines = [b"Host: a", b"Content-Type: application/json"] + [f"Content-Length: {len(body)}".encode()] * bool(body)
        head = [f"{method} {path} HTTP/1.1".encode(), *headers.mutated(rng, lines, self.marks)]
        return b"\r\n".join(head) + b"\r\n\r\n" + body

    def _target(self, rng: Random) -> bytes:
        lines = [b"Host: a", f"Authorization: Bearer {self.forger.spare}".encode()][: rng.randint(1, 2)]
        return _request(rng.choice(targets.METHODS), targets.mutated(rng, self.marks), lines)

    def _token(self, rng: Random) -> Attack:
        if rng.random() < 0.2:
            body = json.dumps({"refresh_token": tokens.refresh_token(rng, self.forger, self.marks)}).encode()
            lines = [b"Host: a", b"Content-Type: application/json"]
            return Attack("token", [_request("POST", _REFRESH, lines, body)], is_refused=True)
        token = tokens.forged(rng, self.forger, self.marks)
        scheme = rng.choice(["Bearer", "Bearer", "Bearer", "bearer", "BEARER", "Bearer ", "Token", "JWT"])
        line = f"Authorization: {scheme} {token}".encode("latin-1")
        return Attack("token", [_request("GET", rng.choice(_PROTECTED), [b"Host: a", line])], is_refused=True)

    def _plain(self, rng: Random) -> bytes:
        body = f'{{"username":"{self.marks.name(rng)}","role":"{self.marks.secret(rng)}"}}'.encode()
        return rng.choice(
            [
                _request("GET", "/ping", [b"Host: a"]),
                _request("HEAD", "/ping", [b"Host: a"]),
                _request("GET", "/api/v1/me", [b"Host: a", self._authorization]),
                _request("GET", _SESSIONS, [b"Host: a", self._authorization]),
                _request("GET", "/.well-known/jwks.json", [b"Host: a"]),
                _request("GET", f"/{self.marks.path(rng)}?{self.marks.path(rng)}", [b"Host: a"]),
                _request("POST", _SIGN_UP, [b"Host: a", b"Content-Type: application/json"], body),
                _request("POST", _LOG_IN, [b"Host: a", b"Content-Type: application/json"], body, chunked=True),
            ]
        )

    @property
    def _authorization(self) -> bytes:
        return f"Authorization: Bearer {self.forger.token}".encode()

    def _form(self, rng: Random) -> tuple[str, str, bodies.Form]:
        """Return a method, a path, and a valid body for them."""
        name, secret = self.marks.name(rng), self.marks.secret(rng)
        credentials = {"username": name, "password": secret}
        change = {"current_password": secret, "new_password": self.marks.secret(rng)}
        method, path, form = rng.choice(
            [
                ("POST", _SIGN_UP, credentials | {"email": f"{name}@example.com"}),
                ("POST", _LOG_IN, credentials),
                ("POST", _REFRESH, {"refresh_token": secret}),
                ("PUT", _PASSWORD, change),
            ]
        )
        return method, path, [(json.dumps(key), json.dumps(value)) for key, value in form.items()]


def _request(method: str, target: str, lines: list[bytes], body: bytes = b"", *, chunked: bool = False) -> bytes:
    if chunked:
        lines = [*lines, b"Transfer-Encoding: chunked"]
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    elif body:
        lines = [*lines, b"Content-Length: %d" % len(body)]
    return b"\r\n".join([f"{method} {target} HTTP/1.1".encode("latin-1"), *lines]) + b"\r\n\r\n" + body


def _may_be_hashed(data: bytes) -> bool:
    """Return True if the server may hash a password for this body."""
    try:
        body = json.loads(data[data.find(b"{") : data.rfind(b"}") + 1])
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and any(
        needed <= body.keys() <= needed | {"email"}
        for needed in ({"username", "password"}, {"current_password", "new_password"})
    )
