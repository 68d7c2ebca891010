"""Lists in pages, the newest row first."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from api.crypto.cursors import CursorCodec, Listing
from api.storage.database import HIGHEST_ID


def newest_first(
    cursors: CursorCodec, listing: Listing, limit: int, cursor: str | None, read: Callable[[UUID, int], Sequence[Any]]
) -> tuple[Sequence[Any], str | None]:
    """Return up to `limit` rows after a cursor, and the cursor of the next page, or None. Raises InvalidCursor.

    `read` gets an id and the maximum number of rows. `read` returns the rows with lower ids, the highest first.
    """
    (before,) = [HIGHEST_ID] if cursor is None else cursors.read(listing, cursor)
    # One row more shows whether there is a next page.
    rows = read(before, limit + 1)
    following = cursors.make(listing, [rows[limit - 1].id]) if len(rows) > limit else None
    return rows[:limit], following
