"""API keys: create, list, change and revoke. A revoked key has no row."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from api import clock, models
from api.crypto import prefixed_secrets
from api.crypto.cursors import CursorCodec, Listing
from api.errors import ExpiryOutOfRange, InvalidToken, NotFound, TooManyKeys
from api.models.user import Profile, profile_of
from api.services import events, grants, notices, paging, sessions
from api.services.expired_rows import ExpiredRows
from api.services.outbox import Outbox
from api.services.session_statements import LOCK_USER, PROFILE
from api.storage.database import Db, new_id

KIND = "key"
MOST_KEYS = 50
_LISTING = "api_keys"
_USUAL = timedelta(days=90)
# After this time, the trigger `api_keys_delete` no longer reports the deletion to other processes.
_PURGED_AFTER = timedelta(hours=1)


class KeyRules(NamedTuple):
    """The prefix of new keys and of secrets of services, and the longest time until a key expires."""

    prefix: str
    lifetime: timedelta


class KeyOwner(NamedTuple):
    """The user of an API key, with the scopes and the expiry of the key. Processes cache it."""

    user: Profile
    scopes: frozenset[str]
    expires_at: datetime


class FoundKey(NamedTuple):
    """An API key of a digest."""

    id: UUID
    owner: KeyOwner


def create(
    db: Db,
    outbox: Outbox,
    rules: KeyRules,
    user: Profile,
    session_id: UUID,
    allowed: frozenset[str],
    wanted: Mapping[str, Any],
    accept_language: str | None,
) -> dict[str, Any]:
    """Create an API key of the user of a session, and notify the user by mail. Return its row and the key itself.

    `wanted` has the `name` and the `scopes`, which must be among the `allowed` ones. It may have `expires_at`.

    Raises InvalidInput for another scope, and ExpiryOutOfRange for an expiry that is past or too late. Raises
    TooManyKeys if the user has 50 keys. Raises InvalidToken if the session of the user has ended.
    """
    now = clock.now()
    grants.check(wanted["scopes"], allowed)
    expires_at = _expiry(wanted.get("expires_at"), now, rules.lifetime)
    key = prefixed_secrets.make(KIND, rules.prefix)
    row = {
        "id": new_id(),
        "user_id": user.id,
        "name": wanted["name"],
        "digest": prefixed_secrets.digest(key),
        "hint": prefixed_secrets.hint_of(key),
        "scopes": sorted(wanted["scopes"]),
        "created_at": now,
        "expires_at": expires_at,
        "last_used_at": None,
    }
    _insert(db, user.id, row)
    if sessions.find_owner(db, session_id) is None:
        raise InvalidToken()
    if len(db.run(_LIVE, {"of_user": user.id, "now": now, "most": MOST_KEYS + 1}).all()) > MOST_KEYS:
        raise TooManyKeys()
    notices.api_key_created(db, outbox, user, row["hint"], expires_at, accept_language)
    events.record(db, "api_key_created", user_id=user.id, key_id=row["id"])
    return row | {"key": key}


def _insert(db: Db, user_id: UUID, row: dict[str, Any]) -> None:
    """Insert a key. Until the transaction ends, no other request creates a key of the user, or ends all of them."""
    # On PostgreSQL, other requests wait here. On SQLite, they wait for the insert.
    db.run(LOCK_USER, {"of_user": user_id})
    try:
        db.run(_INSERT, row)
    except IntegrityError:
        # The user was deleted.
        raise InvalidToken() from None


def page(db: Db, cursors: CursorCodec, user_id: UUID, *, limit: int, cursor: str | None) -> dict[str, Any]:
    """Return a page of a user's API keys, newest first, starting after `cursor`. Raises InvalidCursor."""
    wanted = {"of_user": user_id, "now": clock.now()}

    def read(before: UUID, most: int) -> Sequence[Any]:
        return db.run(_PAGE, wanted | {"before": before, "most": most}).all()

    items, following = paging.newest_first(cursors, Listing(_LISTING, user_id), limit, cursor, read)
    return {"items": items, "next_cursor": following}


def get(db: Db, user_id: UUID, key_id: UUID) -> Row[Any]:
    """Return the row of an API key of a user. Raises NotFound for an unknown key and for another user's key."""
    row = db.run(_FIND, {"of_user": user_id, "of_id": key_id, "now": clock.now()}).first()
    if row is None:
        raise NotFound()
    return row


def change(db: Db, user_id: UUID, key_id: UUID, changes: Mapping[str, Any]) -> Row[Any]:
    """Change the `name` of an API key, or let it expire earlier. Return its row.

    Raises NotFound for an unknown key and for another user's key. Raises ExpiryOutOfRange if `expires_at` is past, or
    later than before.
    """
    now = clock.now()
    found = get(db, user_id, key_id)
    expires_at = _time(changes["expires_at"]) if "expires_at" in changes else found.expires_at
    _check_expiry(expires_at, now, found.expires_at)
    wanted = {"of_user": user_id, "of_id": key_id, "now": now, "until": expires_at}
    row = db.run(_CHANGE, wanted | {"called": changes.get("name", found.name)}).first()
    if row is None:
        # Another request has revoked the key since the read, or let it expire earlier.
        db.rollback()
        return change(db, user_id, key_id, changes)
    events.record(db, "api_key_changed", user_id=user_id, key_id=key_id)
    return row


def revoke(db: Db, user_id: UUID, key_id: UUID) -> None:
    """Revoke an API key of a user. Raises NotFound for an unknown key and for another user's key."""
    if db.run(_REVOKE, {"of_user": user_id, "of_id": key_id, "now": clock.now()}).rowcount == 0:
        raise NotFound()
    events.record(db, "api_key_revoked", user_id=user_id, key_id=key_id)


def revoke_all(db: Db, user_id: UUID) -> None:
    """Revoke all API keys of a user."""
    for key_id in db.run(_REVOKE_ALL, {"of_user": user_id}).scalars().all():
        events.record(db, "api_key_revoked", user_id=user_id, key_id=key_id)


def revoke_by_key(db: Db, key: str) -> None:
    """Revoke an API key, if the key is known. The key itself is the only proof that this requires."""
    row = db.run(_REVOKE_BY_DIGEST, {"of_digest": prefixed_secrets.digest(key)}).first()
    if row is not None:
        events.record(db, "api_key_revoked", user_id=row.user_id, key_id=row.id)


def find(db: Db, digest: bytes) -> FoundKey | None:
    """Return the API key with this digest, or None if the key is unknown or the user is disabled."""
    row = db.run(_BY_DIGEST, {"of_digest": digest}).first()
    return None if row is None else FoundKey(row.id, _owner(row))


def find_owner(db: Db, key_id: UUID) -> KeyOwner | None:
    """Return the user of an API key, or None if the key was revoked or the user is disabled."""
    row = db.run(_BY_ID, {"of_id": key_id}).first()
    return None if row is None else _owner(row)


def delete_expired(db: Db, most: int) -> int:
    """Delete up to `most` API keys that expired an hour ago, and return their number."""
    return _EXPIRED.delete(db, clock.now() - _PURGED_AFTER, most)


def _owner(row: Any) -> KeyOwner:
    return KeyOwner(profile_of(row.user_id, row.user_created_at, row), frozenset(row.scopes), row.expires_at)


def _expiry(given: str | None, now: datetime, lifetime: timedelta) -> datetime:
    """Return the expiry of a new key. Raises ExpiryOutOfRange."""
    expires_at = now + min(_USUAL, lifetime) if given is None else _time(given)
    _check_expiry(expires_at, now, now + lifetime)
    return expires_at


def _time(text: str) -> datetime:
    """Parse a time that the contract has validated. Its letters may be small (RFC 3339, section 5.6)."""
    return datetime.fromisoformat(text.upper())


def _check_expiry(expires_at: datetime, now: datetime, latest: datetime) -> None:
    if not now < expires_at <= latest:
        raise ExpiryOutOfRange()


_keys, _users = models.api_keys, models.users
_SHOWN = [_keys.c[name] for name in ("id", "name", "hint", "scopes", "created_at", "expires_at", "last_used_at")]
_of_user = _keys.c.user_id == bindparam("of_user")
_of_id = _keys.c.id == bindparam("of_id")
_is_live = _keys.c.expires_at > bindparam("now")
_INSERT = insert(_keys)
_LIVE = select(_keys.c.id).where(_of_user, _is_live).limit(bindparam("most"))
_PAGE = (
    select(*_SHOWN)
    .where(_of_user, _keys.c.id < bindparam("before"), _is_live)
    .order_by(_keys.c.id.desc())
    .limit(bindparam("most"))
)
_FIND = select(*_SHOWN).where(_of_user, _of_id, _is_live)
_CHANGE = (
    update(_keys)
    .where(_of_user, _of_id, _is_live, _keys.c.expires_at >= bindparam("until"))
    .values(name=bindparam("called"), expires_at=bindparam("until"))
    .returning(*_SHOWN)
)
_REVOKE = delete(_keys).where(_of_user, _of_id, _is_live)
_REVOKE_ALL = delete(_keys).where(_of_user).returning(_keys.c.id)
_REVOKE_BY_DIGEST = delete(_keys).where(_keys.c.digest == bindparam("of_digest")).returning(_keys.c.id, _keys.c.user_id)
_owners = (
    select(*PROFILE, _keys.c.id, _keys.c.scopes, _keys.c.expires_at)
    .join(_keys, _keys.c.user_id == _users.c.id)
    .where(_users.c.disabled_at.is_(None))
)
_BY_DIGEST = _owners.where(_keys.c.digest == bindparam("of_digest"))
_BY_ID = _owners.where(_of_id)
_EXPIRED = ExpiredRows(_keys, "expires_at")
