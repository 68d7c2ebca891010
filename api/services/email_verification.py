"""Email verification: a code that a mail carries proves that the user receives mail at the address.

A code is valid only while the user has the address to which the code was sent.
"""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import bindparam, func, update

from api import clock, models
from api.crypto.one_time_codes import OneTimeCodes
from api.errors import AlreadyVerified
from api.models.user import Profile, UserRow
from api.services import codes as one_time_codes
from api.services import events, users
from api.services.codes import VERIFY_EMAIL
from api.services.outbox import MailRow, Outbox, Prepared
from api.storage.database import Db, UtcDateTime

MAIL = "verify_email"
_REMINDER = {"is_reminder": True}
_REMINDED_AFTER = timedelta(minutes=15)


def request(db: Db, outbox: Outbox, user_id: UUID, accept_language: str | None) -> dict[str, int]:
    """Send a code to the email of a user. Raises AlreadyVerified, or MailUnavailable if no mail can be sent."""
    outbox.must_serve()
    user = users.find(db, user_id)
    if user.email_verified_at is not None:
        raise AlreadyVerified()
    send(db, outbox, user, accept_language)
    events.record(db, "email_verification_requested", user_id=user_id)
    return {"expires_in": VERIFY_EMAIL.seconds}


def send(db: Db, outbox: Outbox, user: Profile | UserRow, accept_language: str | None) -> None:
    """Send a code to the email of a user, in the language of the user or else of the request."""
    locale = outbox.locale_of(accept_language, user.locale)
    outbox.add(db, MAIL, user.email, VERIFY_EMAIL.lifetime, user_id=user.id, locale=locale)


def remind(db: Db, outbox: Outbox, user: UserRow) -> None:
    """Send a code to the email of a user again, at most every 15 minutes."""
    locale = outbox.locale_of(None, user.locale)
    outbox.add(db, MAIL, user.email, VERIFY_EMAIL.lifetime, user_id=user.id, locale=locale, facts=_REMINDER)


def prepare(codes: OneTimeCodes, db: Db, mail: MailRow) -> Prepared | None:
    """Return the code for a mail and the address, or None if the mail has no reader.

    A mail has no reader if the user is disabled, is verified, or has another email now. Nor has a reminder that
    follows another mail too soon.
    """
    user = users.lock_by_email(db, mail.address or "")
    if user is None or user.id != mail.user_id or user.disabled_at is not None or user.email_verified_at is not None:
        return None
    reuse = _REMINDED_AFTER if mail.facts else None
    of_mail = VERIFY_EMAIL, mail.id, user.email, user.id
    if reuse and one_time_codes.find_latest(db, *of_mail, reuse) not in {None, mail.id}:
        return None
    code = one_time_codes.issue(db, codes, *of_mail, reuse=reuse)
    return Prepared(user.email, {"code": code, "hours": VERIFY_EMAIL.seconds // 3600})


def verify(db: Db, codes: OneTimeCodes, code: str) -> None:
    """Note that the user to whom a code was sent receives mail at the address.

    Raises InvalidCode if the code is unknown, used or expired, or if the user is disabled or has another email now.
    """
    found = one_time_codes.find(db, codes, VERIFY_EMAIL, code)
    # All transactions lock the user before the codes.
    values = {"of_user": found.user_id, "of_email": found.email_key, "now": clock.now()}
    if db.run(_VERIFY, values).rowcount == 0:
        one_time_codes.reject(db, found)
    one_time_codes.use(db, found)
    events.record(db, "email_verified", user_id=found.user_id)


_users = models.users
_VERIFY = (
    update(_users)
    .where(
        _users.c.id == bindparam("of_user"),
        _users.c.email_key == bindparam("of_email"),
        _users.c.disabled_at.is_(None),
    )
    .values(email_verified_at=func.coalesce(_users.c.email_verified_at, bindparam("now", type_=UtcDateTime)))
)
