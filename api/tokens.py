"""Encode and decode access tokens (RFC 9068), and publish what verifies them (RFC 7517); PyJWT lives here only."""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import jwt
import orjson
from jwt.utils import base64url_decode, base64url_encode

from api import clock
from api.errors import InvalidToken
from api.keys import SigningKey

TYPE = "at+jwt"
LEEWAY_SECONDS = 10
_MAX_LENGTH = 4096
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_CLAIMS = {"iss": str, "aud": str, "sub": str, "sid": str, "jti": str, "iat": int, "exp": int, "scope": str}


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says, once it is verified."""

    key_id: str
    user_id: UUID
    session_id: UUID
    scopes: frozenset[str]
    issued: int
    """In seconds since 1970, as all times of a token."""
    expires: int


class Tokens:
    """Issues and verifies the access tokens of one issuer for one audience."""

    def __init__(self, issuer: str, audience: str, lifetime: int) -> None:
        self._issuer = issuer
        self._audience = audience
        self.lifetime = lifetime
        """Seconds from issue to expiry, at most."""

    def encode(self, key: SigningKey, user_id: UUID, session_id: UUID, scope: str, ends_at: datetime) -> str:
        """A token for a session that ends at `ends_at`; `scope` is a list with spaces (RFC 9068, section 2.2.3)."""
        issued = int(clock.now().timestamp())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(user_id),
            "sid": str(session_id),
            "jti": str(uuid4()),
            "iat": issued,
            "exp": issued + self.seconds_until(ends_at),
            "scope": scope,
        }
        return jwt.encode(claims, key.private, key.algorithm, {"typ": TYPE, "kid": key.id})

    def seconds_until(self, ends_at: datetime) -> int:
        """How long a token lives that is issued now, for a session that ends at `ends_at`."""
        return max(1, min(self.lifetime, int((ends_at - clock.now()).total_seconds())))

    def decode(self, token: str, key: SigningKey | None) -> Claims:
        """What the token says; raises InvalidToken unless `key` signed it, and it is ours, whole, and of now."""
        key = _verifying(key)
        # The algorithm is the key's, whatever the token says (RFC 8725, section 3.1).
        if _header(token).algorithm != key.algorithm:
            raise InvalidToken()
        signed, _, signature = token.rpartition(".")
        try:
            # PyJWT's own decode looks at each character of the token in Python: 60 us.
            algorithm = jwt.get_algorithm_by_name(key.algorithm)
            if not algorithm.verify(signed.encode(), algorithm.prepare_key(key.public), _unpack(signature)):
                raise InvalidToken()
            return self._claims(key.id, orjson.loads(_unpack(signed.partition(".")[2])))
        except (ValueError, RecursionError):
            raise InvalidToken() from None

    def _claims(self, key_id: str, payload: Any) -> Claims:
        # RFC 9068, section 2.2: none is missing, and none of another type.
        if not isinstance(payload, dict) or any(type(payload.get(name)) is not kind for name, kind in _CLAIMS.items()):
            raise InvalidToken()
        if payload["iss"] != self._issuer or payload["aud"] != self._audience:
            raise InvalidToken()
        _check_times(payload["iat"], payload["exp"])
        if payload["exp"] - payload["iat"] > self.lifetime:
            raise InvalidToken()
        return Claims(
            key_id=key_id,
            user_id=UUID(payload["sub"]),
            session_id=UUID(payload["sid"]),
            scopes=_scopes(payload["scope"]),
            issued=payload["iat"],
            expires=payload["exp"],
        )


def check(claims: Claims, key: SigningKey | None) -> Claims:
    """What was decoded before; raises InvalidToken if this is not its time, nor that of `key`, which signed it."""
    _verifying(key)
    _check_times(claims.issued, claims.expires)
    return claims


def _check_times(issued: int, expires: int) -> None:
    now = clock.now().timestamp()
    if issued > now + LEEWAY_SECONDS or expires <= now - LEEWAY_SECONDS:
        raise InvalidToken()


def _verifying(key: SigningKey | None) -> SigningKey:
    if key is None or (key.retires_at is not None and key.retires_at <= clock.now()):
        raise InvalidToken()
    return key


@lru_cache(1024)
def _scopes(text: str) -> frozenset[str]:
    """Many tokens have the same."""
    return frozenset(text.split(" "))


def _unpack(segment: str) -> bytes:
    """What the segment means; raises ValueError for one that is not as RFC 7515, section 2, spells it."""
    data = base64url_decode(segment)
    if base64url_encode(data).decode() != segment:
        raise ValueError(segment)
    return data


class _Header(NamedTuple):
    """What a token says of its signature."""

    key_id: str
    algorithm: str


def key_id(token: str) -> str:
    """Which key the token says signed it; raises InvalidToken for what has not the form of an access token."""
    return _header(token).key_id


def _header(token: str) -> _Header:
    if len(token) > _MAX_LENGTH or not _COMPACT.fullmatch(token):
        raise InvalidToken()
    return _read_header(token.partition(".")[0])


@lru_cache(256)
def _read_header(segment: str) -> _Header:
    """All that a key has signed begin alike."""
    try:
        header = jwt.get_unverified_header(f"{segment}..")
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise InvalidToken() from None
    name, algorithm = header.get("kid"), header.get("alg")
    if not isinstance(name, str) or header.get("typ") != TYPE or header.keys() & {"crit", "b64"}:
        raise InvalidToken()
    return _Header(name, str(algorithm))


def public_jwk(key: SigningKey) -> dict[str, Any]:
    """The key as others verify with it (RFC 7517, section 4), for a key that is not symmetric."""
    numbers = jwt.get_algorithm_by_name(key.algorithm).to_jwk(key.public, as_dict=True)
    public = {name: value for name, value in numbers.items() if name != "key_ops"}
    return public | {"use": "sig", "alg": key.algorithm, "kid": key.id}
