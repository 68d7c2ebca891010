"""Email change: the new address confirms it with a code, and the former address can undo it.

A code that undoes a change survives all other changes of the account, for 7 days. It also undoes the changes after its
own, so a person who took an account over cannot keep it with a second change.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Update, bindparam, null, or_, select, update
from sqlalchemy.exc import IntegrityError

from api import clock, models
from api.crypto.one_time_codes import OneTimeCodes
from api.crypto.password_hasher import NO_PASSWORD, PasswordHasher
from api.errors import EmailTaken, NotFound
from api.services import api_keys, events, known_places, names, notices, password_reset, sessions, users
from api.services import codes as one_time_codes
from api.services.codes import EMAIL_CHANGE, EMAIL_REVERT, PASSWORD_RESET
from api.services.outbox import MailRow, Outbox, Prepared
from api.storage.database import Db

MAIL = "confirm_new_email"


def request(
    db: Db,
    hasher: PasswordHasher,
    codes: OneTimeCodes,
    outbox: Outbox,
    user_id: UUID,
    email: str,
    current_password: str,
    accept_language: str | None,
) -> dict[str, Any]:
    """Send a code to the new address of a user, and return the pending change.

    Raises MailUnavailable if no mail can be sent, WrongPassword, or EmailTaken if the user has this email already. If
    another user has it, nothing reveals that to the caller.
    """
    outbox.must_serve()
    user = users.find_by_password(db, hasher, user_id, current_password, "email_change_failed")
    address = names.normalize_email(email)
    if address == user.email:
        raise EmailTaken()
    checked = {"of_user": user_id, "checked": user.password_hash}
    if db.run(_REQUEST, checked | {"address": address}).rowcount == 0:
        # Another request has changed the user since the read.
        db.rollback()
        return request(db, hasher, codes, outbox, user_id, email, current_password, accept_language)
    locale = outbox.locale_of(accept_language, user.locale)
    mail_id = outbox.add(db, MAIL, address, EMAIL_CHANGE.lifetime, user_id=user_id, locale=locale)
    one_time_codes.discard_purpose(db, user_id, EMAIL_CHANGE, besides=address)
    expires_at = one_time_codes.add(db, codes, EMAIL_CHANGE, mail_id, address, user_id)
    events.record(db, "email_change_requested", user_id=user_id)
    return {"email": address, "expires_at": expires_at}


def prepare_confirmation(codes: OneTimeCodes, db: Db, mail: MailRow) -> Prepared | None:
    """Return the code for a new address, or the notice for the user who has this address.

    Return None if the change was cancelled or replaced.
    """
    address = mail.address or ""
    code = one_time_codes.of_mail(db, codes, EMAIL_CHANGE, mail.id)
    if code is None:
        return None
    owner = db.run(_OTHER_OWNER, {"key": names.email_key(address), "of_user": mail.user_id}).scalar()
    if owner is not None:
        return Prepared(owner, {}, notices.ALREADY_REGISTERED)
    return Prepared(address, {"code": code, "minutes": EMAIL_CHANGE.seconds // 60})


def cancel(db: Db, user_id: UUID) -> None:
    """Cancel the pending change of a user. Raises NotFound if no change is pending."""
    if db.run(_CANCEL, {"of_user": user_id}).rowcount == 0:
        raise NotFound()
    one_time_codes.discard_purpose(db, user_id, EMAIL_CHANGE)
    events.record(db, "email_change_cancelled", user_id=user_id)


def confirm(db: Db, codes: OneTimeCodes, outbox: Outbox, code: str, accept_language: str | None) -> None:
    """Change the email of the user to the address to which a code was sent, and notify the former address.

    Raises InvalidCode if the code is unknown, used or expired, or if its change is no longer pending. Raises EmailTaken
    if another user has the address. The code can then be used again. Raises MailUnavailable if no mail can be sent.
    """
    outbox.must_serve()
    found = one_time_codes.find(db, codes, EMAIL_CHANGE, code)
    user = users.find_by_id(db, found.user_id)
    if user is None or not _move(db, _CONFIRM, found, {"former": user.email}):
        one_time_codes.reject(db, found)
    one_time_codes.use(db, found)
    one_time_codes.discard(db, user.id)
    # The code exists from now on, so that an undone change deletes it even if its mail is still waiting.
    mail_id = notices.email_changed(db, outbox, user, accept_language)
    one_time_codes.add(db, codes, EMAIL_REVERT, mail_id, user.email, user.id)
    events.record(db, "email_changed", user_id=user.id)


def prepare_notice(codes: OneTimeCodes, db: Db, mail: MailRow) -> Prepared | None:
    """Return the code that undoes a change, or None if it is no longer needed."""
    code = one_time_codes.of_mail(db, codes, EMAIL_REVERT, mail.id)
    return Prepared(mail.address or "", {"code": code, "days": EMAIL_REVERT.lifetime.days}) if code else None


def revert(db: Db, codes: OneTimeCodes, outbox: Outbox, code: str, accept_language: str | None) -> None:
    """Give the user the former address back, to which a code was sent, and send a code for a new password to it.

    The person who changed the email knew the password, so no password logs the user in until then. All sessions and
    API keys end, and no place is known. All codes are deleted except those that undo earlier changes, so the person
    cannot undo this with a code of a later change. A deletion of the account that was requested since is cancelled.

    Raises InvalidCode if the code is unknown, used or expired, or if the user is disabled. Raises EmailTaken if another
    user has the address now. The code can then be used again.
    """
    found = one_time_codes.find(db, codes, EMAIL_REVERT, code)
    user = users.find_by_id(db, found.user_id)
    if user is None or not _move(db, _REVERT, found, {}):
        one_time_codes.reject(db, found)
    one_time_codes.use(db, found)
    one_time_codes.discard(db, user.id)
    one_time_codes.discard_later(db, found, EMAIL_REVERT)
    # The hash changes before the sessions end, so a concurrent log-in either fails or loses its session.
    sessions.revoke_all(db, user.id)
    api_keys.revoke_all(db, user.id)
    known_places.replace(db, user.id, None)
    locale = outbox.locale_of(accept_language)
    outbox.add(db, password_reset.MAIL, found.email, PASSWORD_RESET.lifetime, locale=locale)
    events.record(db, "email_reverted", user_id=user.id)


def _move(db: Db, statement: Update, found: one_time_codes.CodeRow, read: dict[str, str]) -> bool:
    """Give a user the address of a code, and return False if the user does not match. Raises EmailTaken.

    The user's row stays locked until the transaction ends.
    """
    values = {"of_user": found.user_id, "address": found.email, "key": found.email_key, "now": clock.now()}
    try:
        return db.run(statement, values | read).rowcount == 1
    except IntegrityError:
        raise EmailTaken() from None


_users = models.users
_of_user = _users.c.id == bindparam("of_user")
_is_enabled = _users.c.disabled_at.is_(None)
_REQUEST = (
    update(_users)
    .where(_of_user, _users.c.password_hash == bindparam("checked"), _is_enabled)
    .values(pending_email=bindparam("address"))
)
_CANCEL = update(_users).where(_of_user, _users.c.pending_email.is_not(None)).values(pending_email=null())
_moved = {
    "email": bindparam("address"),
    "email_key": bindparam("key"),
    "email_verified_at": bindparam("now"),
    "pending_email": null(),
}
_CONFIRM = (
    update(_users)
    .where(
        _of_user,
        _is_enabled,
        _users.c.pending_email == bindparam("address"),
        # The mail goes to this address.
        _users.c.email == bindparam("former"),
    )
    .values(_moved)
)
_REVERT = (
    update(_users)
    # A user who asked for the deletion of the account is disabled until then.
    .where(_of_user, or_(_is_enabled, _users.c.deletes_at.is_not(None)))
    .values({**_moved, "password_hash": NO_PASSWORD, "disabled_at": null(), "deletes_at": null()})
)
_OTHER_OWNER = select(_users.c.email).where(_users.c.email_key == bindparam("key"), _users.c.id != bindparam("of_user"))
