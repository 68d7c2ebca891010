"""The creation of users by admins. A mail carries the code with which the user sets the first password."""

from api.crypto.one_time_codes import OneTimeCodes
from api.crypto.password_hasher import NO_PASSWORD
from api.errors import EmailTaken
from api.models.user import Profile
from api.services import codes as one_time_codes
from api.services import users
from api.services.codes import EMAIL_REVERT, NEW_USER
from api.services.outbox import MailRow, Outbox, Prepared
from api.storage.database import Db

MAIL = "account_created"


def create(db: Db, outbox: Outbox, username: str, email: str, role: str, locale: str | None) -> Profile:
    """Create a user whom no password logs in yet, send a code for the first one, and return the profile.

    Raises UsernameTaken or EmailTaken. The former address of a user who can undo the change is taken as well. Raises
    MailUnavailable if no mail can be sent.
    """
    outbox.must_serve()
    user = users.add(db, username, email, NO_PASSWORD, role=role, locale=locale)
    # Not earlier: the write above waits for a transaction that frees the address.
    if one_time_codes.is_promised(db, EMAIL_REVERT, user.email):
        raise EmailTaken()
    language = outbox.locale_of(None, locale)
    outbox.add(db, MAIL, user.email, NEW_USER.lifetime, user_id=user.id, locale=language)
    return user


def prepare(codes: OneTimeCodes, db: Db, mail: MailRow) -> Prepared | None:
    """Return the code for a mail, or None if the user is disabled, has a password, or has another email now."""
    user = users.lock_by_email(db, mail.address or "")
    if user is None or user.id != mail.user_id or user.disabled_at is not None or user.password_hash != NO_PASSWORD:
        return None
    code = one_time_codes.issue(db, codes, NEW_USER, mail.id, user.email, user.id)
    return Prepared(user.email, {"code": code, "days": NEW_USER.lifetime.days, "username": user.username})
