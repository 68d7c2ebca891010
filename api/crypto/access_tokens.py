"""Access tokens (RFC 9068), and the public keys that verify them (RFC 7517). Only this module uses PyJWT."""

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
from api.crypto.signing_keys import SigningKey
from api.errors import InvalidToken

TYPE = "at+jwt"
LEEWAY_SECONDS = 10
_MAX_LENGTH = 4096
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_CLAIMS = {"iss": str, "aud": str, "sub": str, "jti": str, "iat": int, "exp": int, "scope": str}
# Tokens of services have no `sid` and no `auth_time`. Tokens of earlier releases lack the last two claims, and they
# stay valid until they expire.
_OPTIONAL_CLAIMS = {"sid": str, "auth_time": int, "client_id": str}


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a verified access token.

    The `subject` is a user with a session, or else a service, which has none.
    """

    key_id: str
    subject: UUID
    session_id: UUID | None
    scopes: frozenset[str]
    issued: int
    """Seconds since 1970, like all times in a token."""
    expires: int


class AccessTokenCodec:
    """Issues the access tokens of one issuer for one audience to one client, and verifies them."""

    def __init__(self, issuer: str, audience: str, client_id: str, lifetime: int) -> None:
        self._issuer = issuer
        self._audience = audience
        self._client_id = client_id
        self.lifetime = lifetime
        """The maximum number of seconds from issue to expiry."""

    def encode(
        self,
        key: SigningKey,
        user_id: UUID,
        session_id: UUID,
        scope: str,
        ends_at: datetime,
        *,
        authenticated_at: datetime,
    ) -> str:
        """Return a signed token for a session that ends at `ends_at`.

        `scope` is a space-separated list (RFC 9068, section 2.2.3). The user proved its identity at `authenticated_at`
        (section 2.2.1).
        """
        session = {"sid": str(session_id), "auth_time": int(authenticated_at.timestamp())}
        return self._encode(key, user_id, self._client_id, scope, self.seconds_until(ends_at), session)

    def encode_for_service(self, key: SigningKey, service_id: UUID, scope: str) -> str:
        """Return a signed token for a service, which is its own subject and its own client (section 2.2)."""
        return self._encode(key, service_id, str(service_id), scope, self.lifetime, {})

    def _encode(
        self, key: SigningKey, subject: UUID, client_id: str, scope: str, seconds: int, session: dict[str, Any]
    ) -> str:
        issued = int(clock.now().timestamp())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(subject),
            "client_id": client_id,
            **session,
            "jti": str(uuid4()),
            "iat": issued,
            "exp": issued + seconds,
            "scope": scope,
        }
        # PyJWT's own encode serializes the header again for each token, which costs 20 us.
        algorithm = jwt.get_algorithm_by_name(key.algorithm)
        signed = b".".join((_header_segment(key.id, key.algorithm), base64url_encode(orjson.dumps(claims))))
        signature = algorithm.sign(signed, algorithm.prepare_key(key.private))
        return b".".join((signed, base64url_encode(signature))).decode()

    def seconds_until(self, ends_at: datetime) -> int:
        """Return the lifetime in seconds of a token that is issued now for a session that ends at `ends_at`."""
        return max(1, min(self.lifetime, int((ends_at - clock.now()).total_seconds())))

    def decode(self, token: str, key: SigningKey | None) -> Claims:
        """Verify a token and return its claims.

        Raises InvalidToken unless `key` signed the token, and its form, issuer, audience and times are valid.
        """
        key = _require_active(key)
        # The key determines the algorithm, not the token (RFC 8725, section 3.1).
        if _header(token).algorithm != key.algorithm:
            raise InvalidToken()
        signed, _, signature = token.rpartition(".")
        try:
            # PyJWT's own decode checks each character of the token in Python, which costs 60 us.
            algorithm = jwt.get_algorithm_by_name(key.algorithm)
            if not algorithm.verify(signed.encode(), algorithm.prepare_key(key.public), _decode_strict(signature)):
                raise InvalidToken()
            return self._claims(key.id, orjson.loads(_decode_strict(signed.partition(".")[2])))
        except ValueError:
            raise InvalidToken() from None

    def _claims(self, key_id: str, payload: Any) -> Claims:
        # Every claim has a fixed type (RFC 9068, section 2.2).
        if not isinstance(payload, dict) or any(type(payload.get(name)) is not kind for name, kind in _CLAIMS.items()):
            raise InvalidToken()
        if any(type(payload[name]) is not kind for name, kind in _OPTIONAL_CLAIMS.items() if name in payload):
            raise InvalidToken()
        if payload["iss"] != self._issuer or payload["aud"] != self._audience:
            raise InvalidToken()
        _check_times(payload["iat"], payload["exp"])
        if payload["exp"] - payload["iat"] > self.lifetime:
            raise InvalidToken()
        if "sid" not in payload and not self._is_of_service(payload):
            raise InvalidToken()
        return Claims(
            key_id=key_id,
            subject=UUID(payload["sub"]),
            session_id=UUID(payload["sid"]) if "sid" in payload else None,
            scopes=_scopes(payload["scope"]),
            issued=payload["iat"],
            expires=payload["exp"],
        )

    def _is_of_service(self, payload: dict[str, Any]) -> bool:
        """Return True if the subject is the client itself, and not the client that users log in with."""
        client_id = payload.get("client_id")
        return bool(client_id == payload["sub"] and client_id != self._client_id)


def read_payload(token: str) -> dict[str, Any]:
    """Return the claims of a token that has been verified, as they are in the token."""
    payload: dict[str, Any] = orjson.loads(_decode_strict(token.split(".")[1]))
    return payload


@lru_cache(256)
def _header_segment(key_id: str, algorithm: str) -> bytes:
    """Return the encoded header of the tokens of a key."""
    return base64url_encode(orjson.dumps({"alg": algorithm, "kid": key_id, "typ": TYPE}))


def revalidate(claims: Claims, key: SigningKey | None) -> Claims:
    """Check the times of claims that were decoded before, and return the claims.

    Raises InvalidToken if the claims have expired, or if `key`, which signed the token, has retired.
    """
    _require_active(key)
    _check_times(claims.issued, claims.expires)
    return claims


def _check_times(issued: int, expires: int) -> None:
    now = clock.now().timestamp()
    if issued > now + LEEWAY_SECONDS or expires <= now - LEEWAY_SECONDS:
        raise InvalidToken()


def _require_active(key: SigningKey | None) -> SigningKey:
    if key is None or (key.retires_at is not None and key.retires_at <= clock.now()):
        raise InvalidToken()
    return key


@lru_cache(1024)
def _scopes(text: str) -> frozenset[str]:
    """Split a list of scopes. Cached because many tokens have the same scopes."""
    return frozenset(text.split(" "))


def _decode_strict(segment: str) -> bytes:
    """Decode a base64url segment. Raises ValueError unless its spelling is canonical (RFC 7515, section 2)."""
    data = base64url_decode(segment)
    if base64url_encode(data).decode() != segment:
        raise ValueError(segment)
    return data


class _Header(NamedTuple):
    """The header parameters of a token that describe its signature."""

    key_id: str
    algorithm: str


def key_id(token: str) -> str:
    """Return the unverified key id of a token. Raises InvalidToken if the token is not a well-formed access token."""
    return _header(token).key_id


def _header(token: str) -> _Header:
    if len(token) > _MAX_LENGTH or not _COMPACT.fullmatch(token):
        raise InvalidToken()
    return _read_header(token.partition(".")[0])


@lru_cache(256)
def _read_header(segment: str) -> _Header:
    """Parse the header segment. Cached because all tokens of a key have the same header."""
    try:
        # PyJWT's own reader recurses for each level of a nested header.
        header = orjson.loads(_decode_strict(segment))
    except ValueError:
        raise InvalidToken() from None
    if not isinstance(header, dict) or header.get("typ") != TYPE or header.keys() & {"crit", "b64"}:
        raise InvalidToken()
    if not isinstance(header.get("kid"), str):
        raise InvalidToken()
    return _Header(header["kid"], str(header.get("alg")))


def public_jwk(key: SigningKey) -> dict[str, Any]:
    """Return the public JWK of an asymmetric key (RFC 7517, section 4)."""
    numbers = jwt.get_algorithm_by_name(key.algorithm).to_jwk(key.public, as_dict=True)
    public = {name: value for name, value in numbers.items() if name != "key_ops"}
    return public | {"use": "sig", "alg": key.algorithm, "kid": key.id}
