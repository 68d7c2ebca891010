"""Cursors: unforgeable marks of where a page of a list ends."""

import base64
import hmac
from uuid import UUID

from api.crypto.secret import derive
from api.errors import InvalidCursor

_ID_BYTES = 16


class CursorCodec:
    """Creates and reads cursors, each valid for one list of one user."""

    def __init__(self, secret: bytes) -> None:
        self._key = derive(secret, "cursors")

    def make(self, listing: str, user_id: UUID, last: UUID) -> str:
        """Return the cursor for the items after `last`."""
        return base64.urlsafe_b64encode(last.bytes + self._tag(listing, user_id, last)).decode()

    def read(self, listing: str, user_id: UUID, cursor: str) -> UUID:
        """Return the last item of the previous page.

        Raises InvalidCursor if the cursor was not made for this list and user.
        """
        try:
            raw = base64.urlsafe_b64decode(cursor)
            last = UUID(bytes=raw[:_ID_BYTES])
        except ValueError:
            raise InvalidCursor() from None
        # Compared in the encoded form, so that only one spelling of a cursor is valid.
        if not hmac.compare_digest(self.make(listing, user_id, last), cursor):
            raise InvalidCursor()
        return last

    def _tag(self, listing: str, user_id: UUID, last: UUID) -> bytes:
        return hmac.digest(self._key, listing.encode() + user_id.bytes + last.bytes, "sha256")
