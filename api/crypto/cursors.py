"""Cursors: unforgeable marks of where a page of a list ends."""

import base64
import hmac
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from api.crypto.secret import derive
from api.errors import InvalidCursor

Value = str | int | UUID | datetime | date | Decimal | None
"""A value that a list is sorted or filtered by."""

_TAG_BYTES = 32
# A datetime is also a date, so it comes first.
_READERS: Mapping[type, Any] = {
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    UUID: UUID,
    Decimal: Decimal,
}


class Listing(NamedTuple):
    """A list of one user with the filters of a request. Another order of the items requires another name."""

    name: str
    user_id: UUID
    filters: Sequence[Value] = ()


class CursorCodec:
    """Creates and reads cursors, each valid for one list of one user with the same filters."""

    def __init__(self, secret: bytes) -> None:
        self._key = derive(secret, "cursors")

    def make(self, listing: Listing, last: Sequence[Value]) -> str:
        """Return the cursor for the items after the one with the sort key `last`."""
        return self._encoded(listing, _dump(last))

    def read(self, listing: Listing, cursor: str) -> list[Any]:
        """Return the sort key of the last item of the previous page, with the types that `make` got.

        Raises InvalidCursor if the cursor was not made for this list.
        """
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars="-_", validate=True)
        except ValueError:
            raise InvalidCursor() from None
        key = raw[_TAG_BYTES:]
        # Compared in the encoded form, so that only one spelling of a cursor is valid.
        if not hmac.compare_digest(self._encoded(listing, key), cursor):
            raise InvalidCursor()
        return [_read(value) for value in orjson.loads(key)]

    def _encoded(self, listing: Listing, key: bytes) -> str:
        # The digest has a fixed length, so no other listing and key are the same text.
        scope = hmac.digest(self._key, _dump([listing.name, listing.user_id, *listing.filters]), "sha256")
        return base64.urlsafe_b64encode(hmac.digest(self._key, scope + key, "sha256") + key).rstrip(b"=").decode()


def _dump(values: Sequence[Value]) -> bytes:
    return orjson.dumps([_written(value) for value in values], option=orjson.OPT_PASSTHROUGH_DATETIME)


def _written(value: Value) -> Any:
    number = next((number for number, kind in enumerate(_READERS) if isinstance(value, kind)), None)
    if number is None:
        return value
    return [number, value.isoformat() if isinstance(value, date) else str(value)]


def _read(value: Any) -> Any:
    return list(_READERS.values())[value[0]](value[1]) if isinstance(value, list) else value
