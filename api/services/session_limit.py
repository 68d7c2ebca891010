"""The background task that ends the sessions beyond the limit per user that existed at the start of the process."""

from collections import Counter
from uuid import UUID

from api.services import session_statements as sql
from api.services import sessions
from api.storage.database import Db

_FIRST_USER = UUID(int=0)
# An index is read for these rows, which takes about 1 ms.
_PAGE = 2_000


class ExcessTrimmer:
    """Ends the sessions beyond the limit that existed before the process started, in one pass over all users.

    A log-in enforces the limit, so later passes would find nothing.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._page = max(_PAGE, most + 2)
        self._after: UUID | None = _FIRST_USER

    def step(self, db: Db) -> bool:
        """Look at a page of sessions, or end some of one user. Return True if more may be left."""
        if self._after is None:
            return False
        owners = db.run(sql.OWNERS, {"after": self._after, "most": self._page}).scalars().all()
        counts = Counter(owners)
        excess = [user_id for user_id, count in counts.items() if count > self._most]
        if excess:
            sessions.end_least_recently_used(db, excess[0], self._most)
            return True
        # The sessions of the last user may continue on the next page.
        complete = sorted(counts)[:-1]
        self._after = complete[-1] if len(owners) == self._page else None
        return self._after is not None
