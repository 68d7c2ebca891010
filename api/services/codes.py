"""One-time codes: issue, find and use. A code that was used has no row."""

from datetime import datetime, timedelta
from typing import NamedTuple, NoReturn
from uuid import UUID

from sqlalchemy import and_, bindparam, delete, insert, or_, select, update

from api import clock, models
from api.crypto.one_time_codes import OneTimeCodes
from api.errors import InvalidCode
from api.services import events, names, outbox
from api.services.expired_rows import ExpiredRows
from api.storage.database import Db


class Purpose(NamedTuple):
    """The use of a code, and how long the code works."""

    name: str
    lifetime: timedelta

    @property
    def seconds(self) -> int:
        """The lifetime in seconds."""
        return int(self.lifetime.total_seconds())


class CodeRow(NamedTuple):
    """A code that has not been used."""

    id: UUID
    purpose: str
    user_id: UUID | None
    email: str
    email_key: str
    created_at: datetime


RESET_MAIL = "reset_password"
"""The template of the mail with a code of PASSWORD_RESET. Each attempt to send it issues the code."""
EMAIL_CHANGE = Purpose("email_change", timedelta(hours=1))
EMAIL_REVERT = Purpose("email_revert", timedelta(days=7))
INVITATION = Purpose("invitation", timedelta(days=7))
NEW_USER = Purpose("new_user", timedelta(days=7))
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
    latest = find_latest(db, purpose, code_id, email, user_id, reuse or purpose.lifetime / 2)
    code = codes.make(purpose.name, latest or code_id)
    if latest is None:
        _insert(db, codes, purpose, code_id, email, user_id, clock.now())
    else:
        # The secret may have changed, and with it the code.
        db.run(_SET_DIGEST, {"of_id": latest, "digest": codes.digest(purpose.name, code)})
    return code


def add(db: Db, codes: OneTimeCodes, purpose: Purpose, code_id: UUID, email: str, user_id: UUID) -> datetime:
    """Make a new code for an address and a user, and return the time at which it expires.

    The caller must hold a lock on the user.
    """
    now = clock.now()
    latest = db.run(_LATEST_TIME, {"of_user": user_id, "purpose": purpose.name}).scalar()
    # The clocks of hosts differ, but the codes of a user and a purpose are in the order of these times.
    created_at = max(now, latest + timedelta.resolution) if latest else now
    return _insert(db, codes, purpose, code_id, email, user_id, created_at)


def _insert(
    db: Db,
    codes: OneTimeCodes,
    purpose: Purpose,
    code_id: UUID,
    email: str,
    user_id: UUID | None,
    created_at: datetime,
) -> datetime:
    expires_at = clock.now() + purpose.lifetime
    values = {
        "id": code_id,
        "purpose": purpose.name,
        "digest": codes.digest(purpose.name, codes.make(purpose.name, code_id)),
        "user_id": user_id,
        "email": email,
        "email_key": names.email_key(email),
        "created_at": created_at,
        "expires_at": expires_at,
    }
    db.run(_INSERT, values)
    return expires_at


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


def of_mail(db: Db, codes: OneTimeCodes, purpose: Purpose, mail_id: UUID) -> str | None:
    """Return the code that was made for a mail, or None if it is used or expired."""
    if db.run(_IS_VALID, {"of_id": mail_id, "now": clock.now()}).scalar() is None:
        return None
    code = codes.make(purpose.name, mail_id)
    db.run(_SET_DIGEST, {"of_id": mail_id, "digest": codes.digest(purpose.name, code)})
    return code


def find(db: Db, codes: OneTimeCodes, purpose: Purpose, code: str, *others: Purpose) -> CodeRow:
    """Return the row of a code for one of the purposes.

    Raises InvalidCode, and records an event, if the code is unknown, used, expired, or for another purpose.
    """
    queries = ({"of_digest": codes.digest(one.name, code), "now": clock.now()} for one in (purpose, *others))
    row = next((row for query in queries if (row := db.run(_FIND, query).first()) is not None), None)
    if row is None:
        events.refuse(db, InvalidCode(), "code_rejected", purpose=purpose.name)
    return CodeRow._make(row)


def reject(db: Db, row: CodeRow) -> NoReturn:
    """Raise InvalidCode for a code that no longer fits its user, and record an event. Undo the transaction."""
    events.refuse(db, InvalidCode(), "code_rejected", user_id=row.user_id, purpose=row.purpose)


def is_promised(db: Db, purpose: Purpose, email: str) -> bool:
    """Return True if a code for this purpose, sent to any spelling of an address, works."""
    wanted = {"of_key": names.email_key(email), "purpose": purpose.name, "now": clock.now()}
    return db.run(_IS_PROMISED, wanted).first() is not None


def use(db: Db, row: CodeRow) -> None:
    """Delete a code. Raises InvalidCode if another request has used it."""
    if db.run(_USE, {"of_id": row.id}).rowcount == 0:
        reject(db, row)


def discard(db: Db, user_id: UUID) -> None:
    """Delete all codes of a user, except those that revert a change of the email.

    Another person who knows the password could otherwise make these invalid. Unsent mails that reset the password are
    deleted as well, because the next attempt would issue the same code again.
    """
    db.run(_DISCARD, {"of_user": user_id})
    outbox.withdraw(db, user_id, RESET_MAIL)


def discard_purpose(db: Db, user_id: UUID, purpose: Purpose, besides: str = "") -> None:
    """Delete the codes of a user for a purpose, except those that were made for one email."""
    db.run(_DISCARD_PURPOSE, {"of_user": user_id, "purpose": purpose.name, "besides": besides})


def discard_later(db: Db, row: CodeRow, purpose: Purpose) -> None:
    """Delete the codes for a purpose that were made after a code of their user."""
    db.run(_DISCARD_LATER, {"of_user": row.user_id, "purpose": purpose.name, "since": row.created_at})


def delete_expired(db: Db, most: int) -> int:
    """Delete up to `most` expired codes, and return their number."""
    return _EXPIRED.delete(db, clock.now(), most)


_codes = models.codes
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
_of_user = _codes.c.user_id == bindparam("of_user")
_of_purpose = and_(_of_user, _codes.c.purpose == bindparam("purpose"))
_LATEST_TIME = select(_codes.c.created_at).where(_of_purpose).order_by(_codes.c.created_at.desc()).limit(1)
_IS_VALID = select(_codes.c.id).where(_codes.c.id == bindparam("of_id"), _codes.c.expires_at > bindparam("now"))
_IS_PROMISED = (
    select(_codes.c.id)
    .where(
        _codes.c.email_key == bindparam("of_key"),
        _codes.c.purpose == bindparam("purpose"),
        _codes.c.expires_at > bindparam("now"),
    )
    .limit(1)
)
_DISCARD = delete(_codes).where(_of_user, _codes.c.purpose != EMAIL_REVERT.name)
_DISCARD_PURPOSE = delete(_codes).where(_of_purpose, _codes.c.email != bindparam("besides"))
_DISCARD_LATER = delete(_codes).where(_of_purpose, _codes.c.created_at > bindparam("since"))
_EXPIRED = ExpiredRows(_codes, "expires_at")
