"""Usernames that were given up. Each stays reserved for a while, because links and mentions still lead to it."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import bindparam, delete, insert, select

from api import clock, models
from api.errors import TooManyNames, UsernameTaken
from api.services.expired_rows import ExpiredRows
from api.storage.database import Db

_FREED_A_DAY = 3
_DAY = timedelta(days=1)


def must_be_free(db: Db, key: str, user_id: UUID | None = None) -> None:
    """Raise UsernameTaken if a username is reserved, unless this user gave it up.

    Call this after the write of the username. The unique index makes that write wait for a transaction that gives the
    name up at the same time, so this query sees its reservation.
    """
    found = db.run(_FIND, {"of_key": key, "now": clock.now()}).first()
    if found is not None and (user_id is None or found.user_id != user_id):
        raise UsernameTaken()


def exchange(db: Db, user_id: UUID, given_up: str, taken: str, stay: timedelta) -> None:
    """Reserve the username that a user gave up, and end the reservation of the one that the user took.

    Raises UsernameTaken if that one is reserved for another user. Raises TooManyNames if the user has given up three
    names in 24 hours.
    """
    must_be_free(db, taken, user_id)
    db.run(_RELEASE, {"of_key": taken})
    _must_be_rare(db, user_id, stay)
    retire(db, given_up, user_id, stay)


def retire(db: Db, key: str, user_id: UUID | None, stay: timedelta) -> None:
    """Reserve a username that was given up. Only this user, if it still exists, can take it back meanwhile."""
    # A reservation of an earlier user may have expired.
    db.run(_RELEASE, {"of_key": key})
    if stay:
        db.run(_INSERT, {"key": key, "user_id": user_id, "until": clock.now() + stay})


def delete_expired(db: Db, most: int) -> int:
    """Delete up to `most` reservations that have expired, and return their number."""
    return _EXPIRED.delete(db, clock.now(), most)


def _must_be_rare(db: Db, user_id: UUID, stay: timedelta) -> None:
    wanted = {"of_user": user_id, "since": clock.now() + stay - _DAY, "most": _FREED_A_DAY}
    if len(db.run(_LATEST, wanted).all()) == _FREED_A_DAY:
        raise TooManyNames()


_retired = models.retired_names
_FIND = select(_retired.c.user_id).where(_retired.c.key == bindparam("of_key"), _retired.c.until > bindparam("now"))
_RELEASE = delete(_retired).where(_retired.c.key == bindparam("of_key"))
_INSERT = insert(_retired)
_LATEST = (
    select(_retired.c.key)
    .where(_retired.c.user_id == bindparam("of_user"), _retired.c.until > bindparam("since"))
    .order_by(_retired.c.until.desc())
    .limit(bindparam("most"))
)
_EXPIRED = ExpiredRows(_retired, "until")
