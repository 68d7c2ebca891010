"""One-time codes, which mails carry: 60 bits as 12 characters in three groups, such as `K7QF-3M9T-XD4B`.

A code is computed from the id of its row under the master secret. The database therefore stores only a digest, and the
mail can be written again after a crash.
"""

import hmac
from uuid import UUID

from api.crypto.secret import derive

# Crockford's base32: readers confuse no two of its characters.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LOOK_ALIKES = str.maketrans("OIL", "011", " -")
_LENGTH, _GROUP, _BITS = 12, 4, 5


class OneTimeCodes:
    """Computes codes and their digests. Codes that were made under another secret are not recognized."""

    def __init__(self, secret: bytes) -> None:
        self._codes = derive(secret, "one-time codes")
        self._digests = derive(secret, "digests of one-time codes")

    def make(self, purpose: str, code_id: UUID) -> str:
        """Return the code of a row."""
        digest = hmac.digest(self._codes, purpose.encode() + code_id.bytes, "sha256")
        number = int.from_bytes(digest) >> (8 * len(digest) - _BITS * _LENGTH)
        text = "".join(_ALPHABET[number >> _BITS * place & 31] for place in reversed(range(_LENGTH)))
        return "-".join(text[start : start + _GROUP] for start in range(0, _LENGTH, _GROUP))

    def digest(self, purpose: str, code: str) -> bytes:
        """Return the digest of a code in any spelling: case, spaces and hyphens, and O for 0 or I and L for 1."""
        return hmac.digest(self._digests, f"{purpose} {code.upper().translate(_LOOK_ALIKES)}".encode(), "sha256")
