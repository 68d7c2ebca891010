"""Encode and decode access tokens (RFC 9068), and publish what verifies them (RFC 7517); PyJWT lives here only."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import jwt

from api import clock
from api.errors import InvalidToken
from api.keys import SigningKey

TYPE = "at+jwt"
LEEWAY_SECONDS = 10
_MAX_LENGTH = 4096
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_CLAIMS = {"iss": str, "aud": str, "sub": str, "sid": str, "jti": str, "iat": int, "exp": int, "scope": str}


@dataclass(frozen=True)
class Claims:
    """What an access token says, once it is verified."""

    user_id: UUID
    session_id: UUID
    scopes: frozenset[str]


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
        if key is None or (key.retires_at is not None and key.retires_at <= clock.now()):
            raise InvalidToken()
        try:
            # The algorithm is the key's, whatever the token says (RFC 8725, section 3.1).
            return self._claims(jwt.decode(token, key.public, [key.algorithm], options=_NO_CLAIMS))
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise InvalidToken() from None

    def _claims(self, payload: dict[str, Any]) -> Claims:
        # PyJWT takes "exp" as a numeric string and does not miss it; RFC 9068, section 2.2, is stricter.
        if any(type(payload.get(name)) is not kind for name, kind in _CLAIMS.items()):
            raise InvalidToken()
        if payload["iss"] != self._issuer or payload["aud"] != self._audience:
            raise InvalidToken()
        self._check_times(payload["iat"], payload["exp"])
        return Claims(
            user_id=UUID(payload["sub"]),
            session_id=UUID(payload["sid"]),
            scopes=frozenset(payload["scope"].split(" ")),
        )

    def _check_times(self, issued: int, expires: int) -> None:
        now = clock.now().timestamp()
        if issued > now + LEEWAY_SECONDS or expires <= now - LEEWAY_SECONDS:
            raise InvalidToken()
        if expires - issued > self.lifetime:
            raise InvalidToken()


def key_id(token: str) -> str:
    """Which key the token says signed it; raises InvalidToken for what has not the form of an access token."""
    if len(token) > _MAX_LENGTH or not _COMPACT.fullmatch(token):
        raise InvalidToken()
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise InvalidToken() from None
    name = header.get("kid")
    if not isinstance(name, str) or header.get("typ") != TYPE or header.keys() & {"crit", "b64"}:
        raise InvalidToken()
    return name


def public_jwk(key: SigningKey) -> dict[str, Any]:
    """The key as others verify with it (RFC 7517, section 4), for a key that is not symmetric."""
    numbers = jwt.get_algorithm_by_name(key.algorithm).to_jwk(key.public, as_dict=True)
    public = {name: value for name, value in numbers.items() if name != "key_ops"}
    return public | {"use": "sig", "alg": key.algorithm, "kid": key.id}


# Signature and form only: _claims judges the rest, by our clock and by type.
_NO_CLAIMS: Any = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
