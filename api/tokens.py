"""Encode and decode access tokens (RFC 9068); PyJWT lives here only."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import jwt

from api import clock
from api.errors import InvalidToken

ALGORITHM = "HS256"
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
    expires_at: int
    scopes: frozenset[str]


class Tokens:
    """Issues and verifies the access tokens of one issuer for one audience."""

    def __init__(self, secret: bytes, issuer: str, audience: str, lifetime: int) -> None:
        self._secret = secret
        self._key_id = hashlib.sha256(b"key id:" + secret).hexdigest()[:16]
        self._issuer = issuer
        self._audience = audience
        self.lifetime = lifetime
        """Seconds from issue to expiry."""

    def encode(self, user_id: UUID, session_id: UUID, scope: str) -> str:
        """A signed token for a session of a user; `scope` is a list with spaces (RFC 9068, section 2.2.3)."""
        issued = int(clock.now().timestamp())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(user_id),
            "sid": str(session_id),
            "jti": str(uuid4()),
            "iat": issued,
            "exp": issued + self.lifetime,
            "scope": scope,
        }
        return jwt.encode(claims, self._secret, ALGORITHM, {"typ": TYPE, "kid": self._key_id})

    def decode(self, token: str) -> Claims:
        """What the token says; raises InvalidToken unless it is one of ours, whole, and of now."""
        if len(token) > _MAX_LENGTH or not _COMPACT.fullmatch(token):
            raise InvalidToken()
        try:
            verified = jwt.decode_complete(token, self._secret, [ALGORITHM], options=_NO_CLAIMS)
            return self._claims(verified["header"], verified["payload"])
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise InvalidToken() from None

    def _claims(self, header: dict[str, Any], payload: dict[str, Any]) -> Claims:
        if header.get("typ") != TYPE or header.get("kid") != self._key_id or header.keys() & {"crit", "b64"}:
            raise InvalidToken()
        # PyJWT takes "exp" as a numeric string and does not miss it; RFC 9068, section 2.2, is stricter.
        if any(type(payload.get(name)) is not kind for name, kind in _CLAIMS.items()):
            raise InvalidToken()
        if payload["iss"] != self._issuer or payload["aud"] != self._audience:
            raise InvalidToken()
        self._check_times(payload["iat"], payload["exp"])
        return Claims(
            user_id=UUID(payload["sub"]),
            session_id=UUID(payload["sid"]),
            expires_at=payload["exp"],
            scopes=frozenset(payload["scope"].split(" ")),
        )

    def _check_times(self, issued: int, expires: int) -> None:
        now = clock.now().timestamp()
        if issued > now + LEEWAY_SECONDS or expires <= now - LEEWAY_SECONDS:
            raise InvalidToken()
        if expires - issued > self.lifetime:
            raise InvalidToken()


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
