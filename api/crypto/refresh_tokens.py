"""Opaque refresh tokens, from each of which the next token is computed.

A token consists of a family, which identifies the session, and a part of 256 bits that changes at each use. The next
token is computed from the current one under the master secret. Repeating a refresh therefore returns the same token,
and the database stores only digests. An old token is recognized by its family for as long as the session lives.
"""

import base64
import hashlib
import hmac
import re
import secrets

from api.crypto.secret import derive

_FAMILY_BYTES = 16
_PART_BYTES = 32
_FORM = re.compile(f"[A-Za-z0-9_-]{{{(_FAMILY_BYTES + _PART_BYTES) * 4 // 3}}}")


class RefreshTokenFactory:
    """Creates the first token of a session and the successor of each token.

    Tokens that were created under another secret are not recognized.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = derive(secret, "refresh tokens")

    def new(self) -> str:
        """Return the first token of a new family."""
        return _encode(secrets.token_bytes(_FAMILY_BYTES + _PART_BYTES))

    def next(self, token: str) -> str:
        """Return the token that follows. Without the secret, the successor cannot be predicted."""
        return _encode(_decode(token)[:_FAMILY_BYTES] + self._digest(token.encode()))

    def family(self, token: str) -> bytes:
        """Return the digest of the token's family, or of b"" if the token is malformed."""
        return self._digest(_decode(token)[:_FAMILY_BYTES] if _FORM.fullmatch(token) else b"")

    def _digest(self, value: bytes) -> bytes:
        return hmac.digest(self._key, value, "sha256")


def digest(token: str) -> bytes:
    """Return the SHA-256 of a token, which the database stores in place of the token."""
    return hashlib.sha256(token.encode()).digest()


def _encode(token: bytes) -> str:
    return base64.urlsafe_b64encode(token).decode()


def _decode(token: str) -> bytes:
    return base64.urlsafe_b64decode(token)
