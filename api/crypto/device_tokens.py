"""Device tokens: proof that a user has logged in on a device before. They grant nothing but a rate limit of their own.

A stranger who sends wrong passwords can spend the budget of a name, but not that of a device (OWASP, Device Cookies).
"""

import base64
import hmac
import secrets
from collections.abc import Iterable
from datetime import timedelta

from api import clock
from api.crypto.secret import derive

_LIFETIME = timedelta(days=180)
_HEAD_BYTES, _TAG_BYTES = 16, 16
# 48 bytes: the head, and a tag for each of two names. Padding would be a second spelling.
_LENGTH = 64


class DeviceTokenCodec:
    """Creates and checks device tokens, each valid for the log-in names of one user."""

    def __init__(self, secret: bytes) -> None:
        self._key = derive(secret, "device tokens")

    def make(self, names: Iterable[str]) -> str:
        """Return a new token for the canonical log-in names of a user: the username and the email."""
        expires = int((clock.now() + _LIFETIME).timestamp())
        head = expires.to_bytes(4) + secrets.token_bytes(_HEAD_BYTES - 4)
        return base64.urlsafe_b64encode(head + b"".join(self._tag(head, name) for name in names)).decode()

    def device_of(self, token: str, name: str) -> str | None:
        """Return the device of a token, or None if it has expired or was not made for this canonical log-in name.

        A token with another tag for the other name is valid as well, so only the device identifies a budget.
        """
        try:
            raw = base64.b64decode(token, altchars="-_", validate=True)
        except ValueError:
            return None
        head, tags = raw[:_HEAD_BYTES], raw[_HEAD_BYTES:]
        if len(token) != _LENGTH or int.from_bytes(head[:4]) < clock.now().timestamp():
            return None
        wanted = self._tag(head, name)
        found = [hmac.compare_digest(tags[at : at + _TAG_BYTES], wanted) for at in range(0, len(tags), _TAG_BYTES)]
        return head.hex() if any(found) else None

    def _tag(self, head: bytes, name: str) -> bytes:
        return hmac.digest(self._key, head + name.encode(), "sha256")[:_TAG_BYTES]
