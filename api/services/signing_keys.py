"""Signing keys: create, rotate, retire and list."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, delete, insert, or_, select, update

from api import clock, models
from api.crypto.access_tokens import public_jwk
from api.crypto.signing_keys import KeyCipher, KeyDecryptionError, SigningKey, generate
from api.errors import NotFound
from api.services import events
from api.storage.database import Db, lock_table

# A new key starts to sign only after all processes have invalidated their cached keys.
_PROPAGATION = timedelta(seconds=1)

CACHE_SECONDS = 300
"""The time for which other services may cache the published keys."""
# A token may be signed just before its key is replaced, and clocks differ.
_CLOCK_SKEW = timedelta(seconds=60)
_KEPT_RETIRED = timedelta(days=30)


class State(StrEnum):
    """The state of a key: not in use yet, in use, or rejected. The newest active key signs, the others verify."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRED = "retired"


class KeyRow(NamedTuple):
    """The columns of a key."""

    id: str
    algorithm: str
    sealed: bytes
    created_at: datetime
    activated_at: datetime | None
    retires_at: datetime | None


class Keyring:
    """The signing keys that this process can decrypt, because they were encrypted under its master secret.

    New keys are for `algorithm`. `lifetime` is the lifetime in seconds of the tokens that they sign.
    """

    def __init__(self, secret: bytes, algorithm: str, lifetime: int) -> None:
        self._cipher = cipher = KeyCipher(secret)
        # Cached: most log-ins sign with the same key.
        self._opened = lru_cache(64)(cipher.open)
        self.algorithm = algorithm
        self.lifetime = timedelta(seconds=lifetime)

    def verifying(self, db: Db) -> dict[str, SigningKey]:
        """Return all keys that may verify a token, by id. They include the next key, which signs nothing yet."""
        rows = db.run(_VERIFYING, {"until": clock.now()})
        return {key.id: key for key in map(self.open, map(KeyRow._make, rows)) if key is not None}

    def signing(self, db: Db) -> SigningKey:
        """Return the key that signs now. If no such key exists, create it and the next one."""
        found = self.active(self.verifying(db))
        if found is not None:
            return found
        # Both are generated before the first write, which takes the write lock of SQLite: this is slow.
        first, following = self._generate(), self._generate()
        db.run(_INSERT, first._replace(activated_at=first.created_at)._asdict())
        db.run(_INSERT, following._asdict())
        return self.signing(db)

    def active(self, keys: Mapping[str, SigningKey]) -> SigningKey | None:
        """Return the newest active key that outlives the tokens that it signs now, or None."""
        now = clock.now()
        ends = now + self.lifetime
        begun = [
            (key.activated_at, key.id)
            for key in keys.values()
            if key.activated_at is not None and key.activated_at <= now and (key.retires_at or ends) >= ends
        ]
        return keys[max(begun)[1]] if begun else None

    def add(self, db: Db) -> KeyRow:
        """Create a key in the state `next`, and return it."""
        row = self._generate()
        db.run(_INSERT, row._asdict())
        return row

    def _generate(self) -> KeyRow:
        key = generate(self.algorithm)
        return KeyRow(key.id, key.algorithm, self._cipher.seal(key), clock.now(), None, None)

    def open(self, row: KeyRow) -> SigningKey | None:
        """Return the decrypted key, or None if it was encrypted under another secret."""
        try:
            return self._opened(row.id, row.algorithm, row.sealed, row.retires_at, row.activated_at)
        except KeyDecryptionError:
            return None


def state(row: KeyRow) -> State:
    """Return the current state of a key."""
    if row.retires_at is not None and row.retires_at <= clock.now():
        return State.RETIRED
    return State.NEXT if row.activated_at is None or row.activated_at > clock.now() else State.ACTIVE


def list_all(db: Db) -> list[KeyRow]:
    """Return all keys, oldest first."""
    return [KeyRow._make(row) for row in db.run(_ALL)]


def jwks(db: Db, keyring: Keyring) -> list[dict[str, Any]]:
    """Return the public keys for other services (RFC 7517). Symmetric keys are left out, because they can also sign."""
    return [public_jwk(key) for key in keyring.verifying(db).values() if not key.is_symmetric]


def rotate(db: Db, keyring: Keyring) -> KeyRow:
    """Let the next key sign, as soon as all processes know it, and return it.

    The previous key verifies until all tokens that it signed have expired.
    """
    _take_turn(db)
    row = _next(db, keyring)
    return _activate(db, keyring, row, max(clock.now(), row.created_at + _PROPAGATION))


def was_published_late(row: KeyRow) -> bool:
    """Return True if other services that cache the published keys may not know this key when it starts to sign."""
    return row.activated_at is not None and row.activated_at - row.created_at < timedelta(seconds=CACHE_SECONDS)


def retire(db: Db, keyring: Keyring, key_id: str) -> None:
    """Reject all tokens that the key signed. If it is the current key, let the next key sign from now on.

    Raises NotFound if the id is unknown or the key is retired already.
    """
    _take_turn(db)
    found = db.run(_BY_ID, {"of_id": key_id}).first()
    if found is None or state(row := KeyRow._make(found)) is State.RETIRED:
        raise NotFound()
    signs = row.activated_at is not None and row.retires_at is None
    db.run(_RETIRE, {"of_id": key_id, "at": clock.now()})
    following = _next(db, keyring)
    if signs:
        _activate(db, keyring, following, clock.now())
    events.record(db, "signing_key_retired", key_id=key_id)


def _take_turn(db: Db) -> None:
    """Lock the keys against changes until this transaction ends, and delete the keys that retired long ago."""
    lock_table(db, _keys)
    db.run(_DELETE_OLD, {"before": clock.now() - _KEPT_RETIRED})


def _activate(db: Db, keyring: Keyring, row: KeyRow, at: datetime) -> KeyRow:
    """Let the key sign from `at` on, create another next key, and return the key that signs."""
    db.run(_END_FORMER, {"last": at + keyring.lifetime + _CLOCK_SKEW})
    db.run(_ACTIVATE, {"of_id": row.id, "at": at})
    db.run(_DELETE_NEXT)
    keyring.add(db)
    events.record(db, "signing_key_rotated", key_id=row.id)
    return row._replace(activated_at=at)


def _next(db: Db, keyring: Keyring) -> KeyRow:
    """Return the next key for the configured algorithm. Create it if no such key exists or can be decrypted."""
    rows = map(KeyRow._make, db.run(_NEXT, {"algorithm": keyring.algorithm}).all())
    return next((row for row in rows if keyring.open(row) is not None), None) or keyring.add(db)


_keys = models.signing_keys
_of_id = _keys.c.id == bindparam("of_id")
_has_no_end = _keys.c.retires_at.is_(None)
_is_next = and_(_keys.c.activated_at.is_(None), _has_no_end)
_ROWS = select(*[_keys.c[name] for name in KeyRow._fields])
_ALL = _ROWS.order_by(_keys.c.created_at, _keys.c.id)
_BY_ID = _ROWS.where(_of_id)
_NEXT = _ROWS.where(_is_next, _keys.c.algorithm == bindparam("algorithm"))
_VERIFYING = _ROWS.where(or_(_has_no_end, _keys.c.retires_at > bindparam("until")))
_INSERT = insert(_keys)
_RETIRE = update(_keys).where(_of_id).values(retires_at=bindparam("at"))
_END_FORMER = update(_keys).where(_keys.c.activated_at.is_not(None), _has_no_end).values(retires_at=bindparam("last"))
_ACTIVATE = update(_keys).where(_of_id).values(activated_at=bindparam("at"))
_DELETE_NEXT = delete(_keys).where(_is_next)
_DELETE_OLD = delete(_keys).where(_keys.c.retires_at < bindparam("before"))
