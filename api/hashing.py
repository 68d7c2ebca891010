"""Hash and check passwords; bcrypt lives here only."""

import base64
import hashlib
import hmac
import unicodedata
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

import bcrypt

_SCHEME = "hmac-sha384-nfkc:"

Result = TypeVar("Result")


class Work(Protocol):
    """Does what takes long where it holds up nobody, and waits for it."""

    def __call__(self, call: Callable[[], Result]) -> Result: ...


def seconds(cost: int) -> float:
    """About how long a hash takes."""
    return 7e-5 * 2.0**cost


class Hasher:
    """bcrypt over base64(HMAC-SHA-384(pepper, NFKC(password))).

    The inner hash gives bcrypt 64 bytes whatever the password's length, so none of its characters is lost at
    bcrypt's limit of 72; without the pepper, which is not in the database, a stolen hash cannot be guessed at.
    """

    def __init__(self, pepper: bytes, cost: int, work: Work) -> None:
        self._pepper = pepper
        self._cost = cost
        self._work = work
        # No password has this hash, but checking one against it takes as long as against a user's.
        self._nobody = _SCHEME + bcrypt.gensalt(cost).decode() + "." * 31

    def hash(self, password: str) -> str:
        """A new salted hash, marked with the scheme that made it."""
        salt = bcrypt.gensalt(self._cost)
        return _SCHEME + self._work(partial(bcrypt.hashpw, self._digest(password), salt)).decode()

    def check(self, password: str, hashed: str | None) -> bool:
        """Whether `hashed` is of `password`; None, for an unknown user, takes as long and is always false."""
        _, _, inner = (hashed or self._nobody).partition(":")
        is_right = self._work(partial(bcrypt.checkpw, self._digest(password), inner.encode()))
        return is_right and hashed is not None

    def is_stale(self, hashed: str) -> bool:
        """Whether `hashed` was made with another scheme or cost than today's."""
        return not hashed.startswith(f"{_SCHEME}$2b${self._cost:02}$")

    def _digest(self, password: str) -> bytes:
        normal = unicodedata.normalize("NFKC", password).encode()
        return base64.b64encode(hmac.digest(self._pepper, normal, hashlib.sha384))
