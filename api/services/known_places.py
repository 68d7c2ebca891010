"""Known places: the networks from which a user has logged in, signed up, or finished a password reset.

A log-in from an unknown place may cause a notice. Rate limits can give known places a budget of their own (`apart`).
"""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import bindparam, delete, exists, insert, or_, select, update

from api import clock, models
from api.crypto.place_digests import PlaceDigests
from api.storage.database import Database, Db

# Only the latest places of a user are known.
_MOST = 20
# A log-in from a known place usually writes nothing.
_REFRESHED_AFTER = timedelta(days=1)
_NOTICE_PERIOD = timedelta(hours=1)


def add_first(db: Db, user_id: UUID, place: bytes | None) -> None:
    """Note the only place of a user, if it is given. The caller must hold a lock on the user, or have created it."""
    if place is not None:
        db.run(_INSERT, {"of_user": user_id, "place": place, "now": clock.now()})


def add(db: Db, user_id: UUID, place: bytes) -> None:
    """Note a place of a user. The caller must hold a lock on the user."""
    values = {"of_user": user_id, "place": place, "now": clock.now()}
    if db.run(_TOUCH, values).rowcount == 0:
        db.run(_INSERT, values)
        db.run(_FORGET_OLD, {"of_user": user_id})


def refresh(db: Db, user_id: UUID, place: bytes, seen_at: datetime) -> None:
    """Note a further log-in from a known place."""
    now = clock.now()
    if now - seen_at > _REFRESHED_AFTER:
        db.run(_TOUCH, {"of_user": user_id, "place": place, "now": now})


def begin_notice(db: Db, user_id: UUID, place: bytes) -> bool:
    """Return True if the user should get a notice about a place: at most one in an hour, about any place.

    The caller must hold a lock on the user.
    """
    now = clock.now()
    values = {"of_user": user_id, "place": place, "now": now, "since": now - _NOTICE_PERIOD}
    return db.run(_BEGIN_NOTICE, values).rowcount == 1


def replace(db: Db, user_id: UUID, place: bytes | None) -> None:
    """Forget all places of a user, where a thief may have logged in, and note this one instead, if it is given.

    The caller must hold a lock on the user.
    """
    db.run(_FORGET_ALL, {"of_user": user_id})
    add_first(db, user_id, place)


def is_known(database: Database, digests: PlaceDigests, address: str, name: str) -> bool:
    """Return True if the user with this canonical username or email is known at an address.

    The one statement is the same for unknown users.
    """
    return bool(database.read(_IS_KNOWN, {"key": name, "place": digests.of(address)}))


_places, _users = models.known_places, models.users
_of_user = _places.c.user_id == bindparam("of_user")
_is_place = (_of_user, _places.c.digest == bindparam("place"))
_TOUCH = update(_places).where(*_is_place).values(seen_at=bindparam("now"))
_INSERT = insert(_places).values(
    user_id=bindparam("of_user"), digest=bindparam("place"), seen_at=bindparam("now"), noticed_at=None
)
_older = select(_places.c.digest).where(_of_user).order_by(_places.c.seen_at.desc()).offset(_MOST)
_FORGET_ALL = delete(_places).where(_of_user)
_FORGET_OLD = delete(_places).where(_of_user, _places.c.digest.in_(_older))
_other = _places.alias()
_was_noticed = exists().where(
    _other.c.user_id == bindparam("of_user"), _other.c.noticed_at.between(bindparam("since"), bindparam("now"))
)
_BEGIN_NOTICE = update(_places).where(*_is_place, ~_was_noticed).values(noticed_at=bindparam("now"))
_IS_KNOWN = (
    select(_places.c.digest)
    .select_from(_users)
    .join(_places, _places.c.user_id == _users.c.id)
    .where(
        or_(_users.c.username_key == bindparam("key"), _users.c.email_key == bindparam("key")),
        _places.c.digest == bindparam("place"),
    )
)
