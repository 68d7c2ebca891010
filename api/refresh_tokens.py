"""Refresh tokens: opaque, and each leads to the next.

A token is a family, which names the session, and a part of 256 bits that is new at each use. The next one of a token is
computed from it under the master secret: who asks twice gets the same answer, and the database has to keep nothing but
digests. An old token is recognized by its family for as long as the session lives.
"""

import base64
import hashlib
import hmac
import secrets

from api.secret import derive

_FAMILY_BYTES = 16
_PART_BYTES = 32
_TEXT_LENGTH = (_FAMILY_BYTES + _PART_BYTES) * 4 // 3


class RefreshTokens:
    """Makes the first token of a session, and of each token the next; under another secret none of them is known."""

    def __init__(self, secret: bytes) -> None:
        self._key = derive(secret, "refresh tokens")

    def new(self) -> str:
        """The first token of a new family."""
        return _encode(secrets.token_bytes(_FAMILY_BYTES + _PART_BYTES))

    def next(self, token: str) -> str:
        """The token that follows; nobody can tell it without the secret."""
        return _encode(_decode(token)[:_FAMILY_BYTES] + self._digest(token.encode()))

    def family(self, token: str) -> bytes:
        """What the database keeps of that which all tokens of a session share; of no token of ours, that of nothing."""
        return self._digest(_decode(token)[:_FAMILY_BYTES] if len(token) == _TEXT_LENGTH else b"")

    def _digest(self, value: bytes) -> bytes:
        return hmac.digest(self._key, value, "sha256")


def digest(token: str) -> bytes:
    """What the database keeps of a token: its SHA-256."""
    return hashlib.sha256(token.encode()).digest()


def _encode(token: bytes) -> str:
    return base64.urlsafe_b64encode(token).decode()


def _decode(token: str) -> bytes:
    return base64.urlsafe_b64decode(token)
