"""Password reset: a code that a mail carries replaces the current password.

The request looks for no user, so its response and its time are the same for every address. The delivery worker does.
"""

from sqlalchemy import bindparam, func, update

from api import clock, models
from api.crypto.one_time_codes import OneTimeCodes
from api.crypto.password_hasher import PasswordHasher
from api.errors import PasswordContainsName
from api.models.user import UserRow
from api.services import codes as one_time_codes
from api.services import events, known_places, names, notices, password_policy, sessions, users
from api.services.codes import NEW_USER, PASSWORD_RESET
from api.services.outbox import MailRow, Outbox, Prepared
from api.storage.database import Db, UtcDateTime, release_connection

MAIL = one_time_codes.RESET_MAIL


def request(db: Db, outbox: Outbox, email: str, accept_language: str | None) -> dict[str, int]:
    """Send a code to the user with this email, if there is one. Raises MailUnavailable if no mail can be sent."""
    outbox.must_serve()
    locale = outbox.locale_of(accept_language)
    outbox.add(db, MAIL, names.normalize_email(email), PASSWORD_RESET.lifetime, locale=locale)
    events.record(db, "password_reset_requested")
    return {"expires_in": PASSWORD_RESET.seconds}


def send(db: Db, outbox: Outbox, user: UserRow) -> dict[str, int]:
    """Send a code to a user on behalf of an admin. Raises MailUnavailable if no mail can be sent."""
    outbox.must_serve()
    locale = outbox.locale_of(None, user.locale)
    outbox.add(db, MAIL, user.email, PASSWORD_RESET.lifetime, user_id=user.id, locale=locale)
    events.record(db, "password_reset_requested", user_id=user.id)
    return {"expires_in": PASSWORD_RESET.seconds}


def prepare(codes: OneTimeCodes, db: Db, mail: MailRow) -> Prepared | None:
    """Return the code for a mail and the address that the user has, or None if no enabled user has the email."""
    user = users.lock_by_email(db, mail.address or "")
    if user is None or user.disabled_at is not None:
        return None
    code = one_time_codes.issue(db, codes, PASSWORD_RESET, mail.id, user.email, user.id)
    facts = {"code": code, "minutes": PASSWORD_RESET.seconds // 60}
    return Prepared(user.email, facts, locale=user.locale, user_id=user.id)


def reset(
    db: Db,
    hasher: PasswordHasher,
    codes: OneTimeCodes,
    outbox: Outbox,
    place: bytes | None,
    code: str,
    new_password: str,
    accept_language: str | None,
) -> None:
    """Set the password of the user to whom a code was sent. End all sessions and delete all codes of the user.

    The code proves that the user receives mail at the address, so the email is verified as well. From now on, only the
    place of the client is known.

    Raises InvalidCode if the code is unknown, used or expired, or if the user is disabled or has another email now.
    Raises PasswordContainsName if the password contains the username or the email. The code can then be used again.
    """
    # A user whom an admin has created sets the first password.
    found = one_time_codes.find(db, codes, PASSWORD_RESET, code, NEW_USER)
    user = users.find_by_id(db, found.user_id)
    if user is None or user.disabled_at is not None or user.email_key != found.email_key:
        one_time_codes.reject(db, found)
    # Hashing takes long, and must hold no connection and no lock.
    release_connection(db)
    if password_policy.contains_identity(new_password, user.username, user.email):
        raise PasswordContainsName()
    renewed = hasher.hash(new_password)
    # All transactions lock the user before the codes. Otherwise they could wait for each other, and a delivery worker
    # could issue another code meanwhile.
    values = {"of_user": user.id, "of_email": found.email_key, "renewed": renewed, "now": clock.now()}
    if db.run(_SET_HASH, values).rowcount == 0:
        one_time_codes.reject(db, found)
    one_time_codes.use(db, found)
    one_time_codes.discard(db, user.id)
    # The hash changes before the sessions end, so a concurrent log-in either fails or loses its session.
    sessions.revoke_all(db, user.id)
    known_places.replace(db, user.id, place)
    notices.password_changed(db, outbox, user, accept_language)
    events.record(db, "password_reset", user_id=user.id)


_users = models.users
_SET_HASH = (
    update(_users)
    .where(
        _users.c.id == bindparam("of_user"),
        _users.c.email_key == bindparam("of_email"),
        _users.c.disabled_at.is_(None),
    )
    .values(
        password_hash=bindparam("renewed"),
        email_verified_at=func.coalesce(_users.c.email_verified_at, bindparam("now", type_=UtcDateTime)),
    )
)
