"""Secrets of programs, such as API keys: a prefix that scanners find, 190 random bits and a checksum.

A secret is `<prefix>_<kind>_`, 32 random characters and 6 characters of the CRC-32 of everything before, in base62. The
checksum rejects a misspelled secret without a query, and lets scanners drop false findings.
"""

import re
import secrets
import string
from hashlib import sha256
from zlib import crc32

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM, _CHECKSUM = 32, 6
_FORM = re.compile(f"[a-z]+_[a-z]+_[0-9A-Za-z]{{{_RANDOM + _CHECKSUM}}}")
_HINTED = 4


def make(kind: str, prefix: str = "charter") -> str:
    """Return a new secret of a kind, such as `key`."""
    start = start_of(kind, prefix) + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return start + _checksum(start)


def start_of(kind: str, prefix: str = "charter") -> str:
    """Return the characters with which each secret of a kind begins."""
    return f"{prefix}_{kind}_"


def is_well_formed(text: str) -> bool:
    """Return True if a text has the form of a secret, and the right checksum."""
    return _FORM.fullmatch(text) is not None and _checksum(text[:-_CHECKSUM]) == text[-_CHECKSUM:]


def kind_of(text: str) -> str | None:
    """Return the kind of a secret with any prefix, or None for a text of another form."""
    return text.split("_")[1] if is_well_formed(text) else None


def digest(text: str) -> bytes:
    """Return the SHA-256 of a secret, by which the database finds it. With 190 random bits, it needs no salt."""
    return sha256(text.encode()).digest()


def hint_of(secret: str) -> str:
    """Return the start of a secret with 4 of its random characters, by which a person recognizes it."""
    return secret[: _HINTED - _RANDOM - _CHECKSUM]


def _checksum(text: str) -> str:
    number, found = crc32(text.encode()), ""
    for _ in range(_CHECKSUM):
        number, place = divmod(number, len(_ALPHABET))
        found = _ALPHABET[place] + found
    return found
