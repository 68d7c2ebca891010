"""The password hasher. Only this module uses bcrypt."""

import base64
import hashlib
import hmac
import unicodedata
from collections.abc import Callable
from functools import partial
from typing import Any

import bcrypt

NO_PASSWORD = ""
"""The hash of a user whom no password logs in. A check against it takes as long as one against another hash."""
_SCHEME = "hmac-sha384-nfkc:"

Work = Callable[[Callable[[], Any]], Any]
"""Runs a slow call where it delays no other request, and returns its result."""


def estimate_seconds(cost: int) -> float:
    """Return the approximate duration of a hash in seconds."""
    return 7e-5 * 2.0**cost


class PasswordHasher:
    """bcrypt over base64(HMAC-SHA-384(pepper, NFKC(password))).

    The inner hash always gives bcrypt 64 bytes, so bcrypt's limit of 72 bytes truncates no password. The pepper is not
    in the database, and a password cannot be guessed from a stolen hash without the pepper.
    """

    def __init__(self, pepper: bytes, cost: int, work: Work) -> None:
        self._pepper = pepper
        self._cost = cost
        self._work = work
        # No password has this hash, but a check against it takes as long as one against a user's hash.
        self._dummy_hash = _SCHEME + bcrypt.gensalt(cost).decode() + "." * 31

    def hash(self, password: str) -> str:
        """Return a new salted hash, prefixed with its scheme."""
        salt = bcrypt.gensalt(self._cost)
        inner: bytes = self._work(partial(bcrypt.hashpw, self._digest(password), salt))
        return _SCHEME + inner.decode()

    def verify(self, password: str, hashed: str | None) -> bool:
        """Return True if `hashed` is a hash of `password`.

        For an unknown user, pass None: the check takes as long and returns False.
        """
        _, _, inner = (hashed or self._dummy_hash).partition(":")
        is_right: bool = self._work(partial(self._check, self._digest(password), inner.encode()))
        return is_right and hashed is not None

    def _check(self, digest: bytes, inner: bytes) -> bool:
        is_right = bcrypt.checkpw(digest, inner)
        # A hash of a lower cost c must not answer sooner. The costs c, c, c + 1 and so on add up to the current one.
        for cost in range(int(inner[4:6]), self._cost):
            bcrypt.hashpw(digest, bcrypt.gensalt(cost))
        return is_right

    def needs_rehash(self, hashed: str) -> bool:
        """Return True if `hashed` does not have the current scheme and cost."""
        return not hashed.startswith(f"{_SCHEME}$2b${self._cost:02}$")

    def _digest(self, password: str) -> bytes:
        normal = unicodedata.normalize("NFKC", password).encode()
        return base64.b64encode(hmac.digest(self._pepper, normal, hashlib.sha384))
