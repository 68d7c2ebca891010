"""One-time codes: issue, find and use. A code that was used has no row."""

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, delete, insert, or_, select, update

from api import clock
from api.crypto.one_time_codes import OneTimeCodes
from api.errors import InvalidCode
from api.models import OneTimeCode
from api.services import names
from api.storage.database import Db, table_of


class Purpose(NamedTuple):
    """The use of a code, and how long the code works."""

    name: str
    lifetime: timedelta


class CodeRow(NamedTuple):
    """A code that has not been used."""

    id: UUID
    user_id: UUID | None
    email: str
    email_key: str


INVITATION = Purpose("invitation", timedelta(days=7))
PASSWORD_RESET = Purpose("password_reset", timedelta(hours=1))
SIGN_UP = Purpose("sign_up", timedelta(hours=1))
VERIFY_EMAIL = Purpose("verify_email", timedelta(days=1))


def issue(
    db: Db,
    codes: OneTimeCodes,
    purpose: Purpose,
    code_id: UUID,
    email: str,
    user_id: UUID | None = None,
    *,
    reuse: timedelta | None = None,
) -> str:
    """Return a code for an address: the latest one if it is not older than `reuse`, or a new one with this id.

    The default is half the lifetime. A mail that arrives late therefore has a code that works, and a second request
    does not invalidate the first one. The caller must hold a lock on the user, or on the address if it has no user.
    """
    now = clock.now()
    latest = find_latest(db, purpose, code_id, email, user_id, reuse or purpose.lifetime / 2)
    code = codes.make(purpose.name, latest or code_id)
    digest = codes.digest(purpose.name, code)
    if latest is None:
        values = {
            "id": code_id,
            "purpose": purpose.name,
            "digest": digest,
            "user_id": user_id,
            "email": email,
            "email_key": names.email_key(email),
            "created_at": now,
            "expires_at": now + purpose.lifetime,
        }
        db.run(_INSERT, values)
    else:
        # The secret may have changed, and with it the code.
        db.run(_SET_DIGEST, {"of_id": latest, "digest": digest})
    return code


def find_latest(
    db: Db, purpose: Purpose, code_id: UUID, email: str, user_id: UUID | None, age: timedelta
) -> UUID | None:
    """Return the id of the latest code for an address that is not older than `age`, or that has this id, or None.

    Another spelling of the address may lead to another mailbox, so it gets a code of its own.
    """
    values = {
        "purpose": purpose.name,
        "of_email": email,
        "of_key": names.email_key(email),
        "of_user": user_id,
        "of_id": code_id,
        "since": clock.now() - age,
    }
    latest: UUID | None = db.run(_LATEST, values).scalar()
    return latest


def find(db: Db, codes: OneTimeCodes, purpose: Purpose, code: str) -> CodeRow:
    """Return the row of a code. Raises InvalidCode if it is unknown, used, expired, or for another purpose."""
    row = db.run(_FIND, {"of_digest": codes.digest(purpose.name, code), "now": clock.now()}).first()
    if row is None:
        raise InvalidCode()
    return CodeRow._make(row)


def use(db: Db, row: CodeRow) -> None:
    """Delete a code. Raises InvalidCode if another request has used it."""
    if db.run(_USE, {"of_id": row.id}).rowcount == 0:
        raise InvalidCode()


def discard(db: Db, user_id: UUID) -> None:
    """Delete all codes of a user."""
    db.run(_DISCARD, {"of_user": user_id})


def delete_expired(db: Db, most: int) -> int:
    """Delete up to `most` expired codes, and return their number."""
    found = db.run(_EXPIRED, {"now": clock.now(), "most": most}).scalars().all()
    return db.run(_DELETE_EXPIRED, {"found": found}).rowcount if found else 0


_codes = table_of(OneTimeCode)
_INSERT = insert(_codes)
_SET_DIGEST = (
    update(_codes)
    .where(_codes.c.id == bindparam("of_id"), _codes.c.digest != bindparam("digest"))
    .values(digest=bindparam("digest"))
)
_LATEST = (
    select(_codes.c.id)
    .where(
        _codes.c.email_key == bindparam("of_key"),
        _codes.c.purpose == bindparam("purpose"),
        _codes.c.email == bindparam("of_email"),
        _codes.c.user_id.is_not_distinct_from(bindparam("of_user")),
        # A mail that is sent again has the same code.
        or_(_codes.c.created_at > bindparam("since"), _codes.c.id == bindparam("of_id")),
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
