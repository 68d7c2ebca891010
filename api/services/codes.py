"""One-time codes: issue, find and use. A code that was used has no row."""

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, delete, insert, select

from api import clock
from api.crypto.one_time_codes import OneTimeCodes
from api.errors import InvalidCode
from api.models import OneTimeCode
from api.models.user import UserRow
from api.services import names
from api.storage.database import Db, table_of


class Purpose(NamedTuple):
    """The use of a code, and how long the code works."""

    name: str
    lifetime: timedelta


class CodeRow(NamedTuple):
    """A code that has not been used."""

    id: UUID
    user_id: UUID
    email_key: str


PASSWORD_RESET = Purpose("password_reset", timedelta(hours=1))


def issue(db: Db, codes: OneTimeCodes, purpose: Purpose, code_id: UUID, user: UserRow) -> str:
    """Return a code for the address of a user: the latest one if it is in the first half of its life, or a new one.

    A mail that arrives late therefore has a code that works, and a second request does not invalidate the first one.
    The caller must hold a lock on the user.
    """
    now, key = clock.now(), names.email_key(user.email)
    of_user = {"of_user": user.id, "purpose": purpose.name, "of_email": key}
    latest = db.run(_LATEST, of_user | {"since": now - purpose.lifetime / 2}).scalar()
    if latest is None:
        values = {
            "id": code_id,
            "purpose": purpose.name,
            "digest": codes.digest(purpose.name, codes.make(purpose.name, code_id)),
            "user_id": user.id,
            "email": user.email,
            "email_key": key,
            "created_at": now,
            "expires_at": now + purpose.lifetime,
        }
        db.run(_INSERT, values)
    return codes.make(purpose.name, latest or code_id)


def find(db: Db, codes: OneTimeCodes, purpose: Purpose, code: str) -> CodeRow:
    """Return the row of a code. Raises InvalidCode if it is unknown, used, expired, or for another purpose."""
    row = db.run(_FIND, {"of_digest": codes.digest(purpose.name, code), "now": clock.now()}).first()
    if row is None:
        raise InvalidCode()
    return CodeRow._make(row)


def use(db: Db, row: CodeRow) -> None:
    """Delete a code and all other codes of its user. Raises InvalidCode if another request has used it."""
    if db.run(_USE, {"of_id": row.id}).rowcount == 0:
        raise InvalidCode()
    discard(db, row.user_id)


def discard(db: Db, user_id: UUID) -> None:
    """Delete all codes of a user."""
    db.run(_DISCARD, {"of_user": user_id})


def delete_expired(db: Db, most: int) -> int:
    """Delete up to `most` expired codes, and return their number."""
    found = db.run(_EXPIRED, {"now": clock.now(), "most": most}).scalars().all()
    return db.run(_DELETE_EXPIRED, {"found": found}).rowcount if found else 0


_codes = table_of(OneTimeCode)
_INSERT = insert(_codes)
_LATEST = (
    select(_codes.c.id)
    .where(
        _codes.c.user_id == bindparam("of_user"),
        _codes.c.purpose == bindparam("purpose"),
        _codes.c.email_key == bindparam("of_email"),
        _codes.c.created_at > bindparam("since"),
    )
    .order_by(_codes.c.created_at.desc())
    .limit(1)
)
_FIND = select(*(_codes.c[name] for name in CodeRow._fields)).where(
    _codes.c.digest == bindparam("of_digest"), _codes.c.expires_at > bindparam("now")
)
_USE = delete(_codes).where(_codes.c.id == bindparam("of_id"))
_DISCARD = delete(_codes).where(_codes.c.user_id == bindparam("of_user"))
_EXPIRED = (
    select(_codes.c.id)
    .where(_codes.c.expires_at <= bindparam("now"))
    .order_by(_codes.c.expires_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_DELETE_EXPIRED = delete(_codes).where(_codes.c.id.in_(bindparam("found", expanding=True)))
