"""Signing keys: next, active, retired."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import Row, bindparam, delete, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from api import clock, logs
from api.crypto.access_tokens import public_jwk
from api.crypto.signing_keys import KeyCipher, KeyDecryptionError, SigningKey, generate
from api.errors import NotFound
from api.models import StoredSigningKey
from api.storage.database import Db, lock_table, table_of

# A key signs once all processes have surely heard of it.
_PROPAGATION = timedelta(seconds=1)
# A token may be signed with the key of a moment ago, and clocks differ.
_CLOCK_SKEW = timedelta(seconds=60)
_KEPT_RETIRED = timedelta(days=30)


class State(StrEnum):
    """What a key is good for: to be known, to verify (the newest signs, too), to nothing."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRED = "retired"


class Keyring:
    """The keys that this process can open: those that were sealed under its own master secret.

    New ones are made for `algorithm`; `lifetime` is that of what they sign, in seconds.
    """

    def __init__(self, vault: KeyCipher, algorithm: str, lifetime: int) -> None:
        self._vault = vault
        # A log-in signs with the key of the one before.
        self._opened = lru_cache(64)(vault.open)
        self.algorithm = algorithm
        self.lifetime = timedelta(seconds=lifetime)

    def verifying(self, db: Db) -> dict[str, SigningKey]:
        """All keys that may verify a token, by their ids; the next one is among them, before it signs anything."""
        rows = db.run(_VERIFYING, {"until": clock.now()})
        return {key.id: key for key in map(self.open, rows) if key is not None}

    def signing(self, db: Db) -> SigningKey:
        """Return the key that signs now. If there is none, make it, and the next one as well."""
        found = self.active(self.verifying(db))
        if found is not None:
            return found
        first = self.add(db)
        first.activated_at = first.created_at
        self.add(db)
        db.flush()
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

    def add(self, db: Db) -> StoredSigningKey:
        """Make a key, which is next."""
        key = generate(self.algorithm)
        row = StoredSigningKey(
            id=key.id, algorithm=key.algorithm, sealed=self._vault.seal(key), created_at=clock.now(), activated_at=None
        )
        db.add(row)
        return row

    def open(self, row: StoredSigningKey | Row[Any]) -> SigningKey | None:
        """The key, or None when another secret sealed it."""
        try:
            return self._opened(row.id, row.algorithm, row.sealed, row.retires_at, row.activated_at)
        except KeyDecryptionError:
            return None


def state(row: StoredSigningKey) -> State:
    """What the key is good for now."""
    if row.retires_at is not None and row.retires_at <= clock.now():
        return State.RETIRED
    return State.NEXT if row.activated_at is None or row.activated_at > clock.now() else State.ACTIVE


def list_all(db: Db) -> list[StoredSigningKey]:
    """All keys, the oldest first."""
    return list(db.scalars(select(StoredSigningKey).order_by(StoredSigningKey.created_at, StoredSigningKey.id)))


def jwks(db: Db, keyring: Keyring) -> list[dict[str, Any]]:
    """What others verify tokens with (RFC 7517); a symmetric key would let them sign."""
    return [public_jwk(key) for key in keyring.verifying(db).values() if not key.is_symmetric]


def rotate(db: Db, keyring: Keyring) -> StoredSigningKey:
    """The next key signs once all know it; what signed before verifies until all that it signed has expired."""
    _take_turn(db)
    row = _next(db, keyring)
    _activate(db, keyring, row, max(clock.now(), row.created_at + _PROPAGATION))
    return row


def retire(db: Db, keyring: Keyring, key_id: str) -> None:
    """Nothing that the key signed is taken any more; if it is the one that signs, the next one does from now on.

    Raises NotFound for an id of no key, or of one that is retired.
    """
    _take_turn(db)
    row = db.get(StoredSigningKey, key_id)
    if row is None or state(row) is State.RETIRED:
        raise NotFound()
    signs = row.activated_at is not None and row.retires_at is None
    row.retires_at = clock.now()
    db.flush()
    following = _next(db, keyring)
    if signs:
        _activate(db, keyring, following, clock.now())
    db.after_commit(partial(logs.event, "signing_key_retired", key_id=key_id))


def _take_turn(db: Db) -> None:
    """Until this transaction ends nobody else changes the keys; those that retired long ago go."""
    lock_table(db, StoredSigningKey)
    db.execute(delete(StoredSigningKey).where(StoredSigningKey.retires_at < clock.now() - _KEPT_RETIRED))


def _activate(db: Db, keyring: Keyring, row: StoredSigningKey, at: datetime) -> None:
    """From `at` on the key signs, and another one is next."""
    last = at + keyring.lifetime + _CLOCK_SKEW
    db.execute(
        update(StoredSigningKey)
        .where(StoredSigningKey.activated_at.is_not(None), _has_no_end())
        .values(retires_at=last)
    )
    row.activated_at = at
    db.flush()
    db.execute(delete(StoredSigningKey).where(_is_next()))
    keyring.add(db)
    db.after_commit(partial(logs.event, "signing_key_rotated", key_id=row.id))


def _next(db: Db, keyring: Keyring) -> StoredSigningKey:
    """A key for today's algorithm that can be opened and was not chosen to sign yet; if there is none, a new one."""
    rows = db.scalars(select(StoredSigningKey).where(_is_next(), StoredSigningKey.algorithm == keyring.algorithm))
    return next((row for row in rows if keyring.open(row) is not None), None) or keyring.add(db)


def _has_no_end() -> ColumnElement[bool]:
    return StoredSigningKey.retires_at.is_(None)


def _is_next() -> ColumnElement[bool]:
    return StoredSigningKey.activated_at.is_(None) & _has_no_end()


_keys = table_of(StoredSigningKey)
_VERIFYING = select(_keys).where(or_(_keys.c.retires_at.is_(None), _keys.c.retires_at > bindparam("until")))
