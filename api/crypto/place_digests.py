"""Digests of places: the networks of clients, under the master secret. They do not reveal the addresses."""

import hmac
from collections.abc import Callable

from api.crypto.secret import derive

_BYTES = 16


class PlaceDigests:
    """Computes the digests. `key_of` returns the network of an address, or the address itself."""

    def __init__(self, secret: bytes, key_of: Callable[[str], str]) -> None:
        self._key = derive(secret, "places")
        self._key_of = key_of

    def of(self, address: str) -> bytes | None:
        """Return the digest of an address, or None if the address is empty, as on a Unix socket without a proxy."""
        return hmac.digest(self._key, self._key_of(address).encode(), "sha256")[:_BYTES] if address else None
