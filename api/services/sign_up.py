"""Sign-up: at once, or with a code that a mail carries, in answer to a request or an invitation.

The request looks for no user, so its response and its time are the same for every address. The delivery worker does.
With a code, no user exists before the mailbox is proven, so only a reader of its mails can register the address.
"""

from api.crypto.one_time_codes import OneTimeCodes
from api.crypto.password_hasher import PasswordHasher
from api.errors import EmailTaken
from api.models.user import Profile
from api.services import codes as one_time_codes
from api.services import email_verification, events, known_places, names, notices, users
from api.services.codes import EMAIL_REVERT, INVITATION, SIGN_UP, Purpose
from api.services.outbox import MailRow, Outbox, Prepared
from api.storage.database import Db, release_connection

MAILS = {"invitation": INVITATION, "sign_up": SIGN_UP}
"""The templates whose mails carry a code, with the purposes of these codes."""


def sign_up(
    db: Db,
    hasher: PasswordHasher,
    outbox: Outbox,
    place: bytes | None,
    username: str,
    email: str,
    password: str,
    accept_language: str | None,
) -> Profile:
    """Create a user, send a mail that verifies the email, and return the profile.

    The place of the client is known from now on.

    Raises PasswordContainsName, UsernameTaken or EmailTaken. The former address of a user who can undo the change is
    taken as well.
    """
    user = users.create(db, hasher, username, email, password)
    # Not earlier: the write above waits for a transaction that frees the address, so this query sees its code. The
    # other ways to an address prove that the caller reads it, so the caller could undo the change.
    if one_time_codes.is_promised(db, EMAIL_REVERT, user.email):
        raise EmailTaken()
    known_places.add_first(db, user.id, place)
    email_verification.send(db, outbox, user, accept_language)
    return user


def request(db: Db, outbox: Outbox, email: str, accept_language: str | None) -> dict[str, int]:
    """Send a code that completes a sign-up to an address. Raises MailUnavailable if no mail can be sent."""
    _add(db, outbox, "sign_up", email, accept_language)
    events.record(db, "sign_up_requested")
    return {"expires_in": SIGN_UP.seconds}


def invite(db: Db, outbox: Outbox, email: str, locale: str | None) -> dict[str, int]:
    """Send a code that completes a sign-up in every mode. Raises MailUnavailable if no mail can be sent."""
    _add(db, outbox, "invitation", email, locale)
    events.record(db, "user_invited")
    return {"expires_in": INVITATION.seconds}


def prepare(codes: OneTimeCodes, db: Db, mail: MailRow) -> Prepared:
    """Return the code for a mail. A user who has the email gets a mail that explains how to log in instead."""
    purpose, email = MAILS[mail.template], mail.address or ""
    user = users.lock_by_email(db, email)
    if user is not None:
        return Prepared(user.email, {}, notices.ALREADY_REGISTERED, user.locale, user.id)
    # Two mails for one address get the same code.
    db.lock(f"{purpose.name} {names.email_key(email)}")
    code = one_time_codes.issue(db, codes, purpose, mail.id, email)
    return Prepared(email, {"code": code, **_lifetime(purpose)})


def complete(
    db: Db,
    hasher: PasswordHasher,
    codes: OneTimeCodes,
    place: bytes | None,
    code: str,
    username: str,
    password: str,
) -> Profile:
    """Create a user whose email is the address to which a code was sent, and return the profile.

    The place of the client is known from now on.

    Raises InvalidCode if the code is unknown, used or expired. Raises PasswordContainsName, UsernameTaken or
    EmailTaken. The code can then be used again.
    """
    found = one_time_codes.find(db, codes, SIGN_UP, code, INVITATION)
    # Hashing takes long, and must hold no connection and no lock.
    release_connection(db)
    password_hash = users.hash_password(hasher, username, found.email, password)
    # Other requests with this code wait here, and find it used.
    one_time_codes.use(db, found)
    user = users.add(db, username, found.email, password_hash, is_verified=True)
    known_places.add_first(db, user.id, place)
    return user


def _add(db: Db, outbox: Outbox, template: str, email: str, accept_language: str | None) -> None:
    outbox.must_serve()
    locale = outbox.locale_of(accept_language)
    outbox.add(db, template, names.normalize_email(email), MAILS[template].lifetime, locale=locale)


def _lifetime(purpose: Purpose) -> dict[str, int]:
    return {"minutes": purpose.seconds // 60} if purpose is SIGN_UP else {"days": purpose.lifetime.days}
