"""Credentials: log-in, and change of the password by the user or by an operator."""

from dataclasses import replace
from uuid import UUID

from sqlalchemy import bindparam, update

from api import models
from api.crypto.password_hasher import PasswordHasher
from api.errors import EmailUnverified, InvalidCredentials, PasswordContainsName
from api.models.user import UserRow
from api.services import codes, email_verification, events, notices, password_policy, sessions, users
from api.services.outbox import Outbox
from api.services.recognition import Recognition, Visitor
from api.services.token_issuer import TokenIssuer, TokenPair
from api.storage.database import Db, release_connection


def log_in(
    db: Db,
    hasher: PasswordHasher,
    issuer: TokenIssuer,
    recognition: Recognition,
    reminders: Outbox | None,
    name: str,
    password: str,
    visitor: Visitor,
) -> TokenPair:
    """Start a session for the user with this username or email, and return a token of its device as well.

    Raises InvalidCredentials if the user is unknown or disabled, or if the password is wrong. With an outbox for
    reminders, raises EmailUnverified if the user's email is not verified.
    """
    user = users.find_by_name(db, name)
    # An unknown user costs a hash as well, so that the time reveals nothing.
    is_right = hasher.verify(password, user.password_hash if user else None)
    if user is None or not is_right or user.disabled_at is not None:
        events.refuse(db, InvalidCredentials(), "log_in_failed", user_id=user.id if user else None)
    if reminders is not None and user.email_verified_at is None:
        email_verification.remind(db, reminders, user)
        events.record(db, "log_in_refused", user_id=user.id)
        raise EmailUnverified()
    if hasher.needs_rehash(user.password_hash):
        user = _renew_hash(db, hasher, user, password)
    place = recognition.places.of(visitor.address)
    started = sessions.start(db, issuer, user, visitor.address, visitor.user_agent, place)
    if started is not None:
        recognition.record(db, user, visitor, place, started.place_seen_at)
        return replace(started.pair, device_token=recognition.make_device_token(user))
    # Another request has changed the user since the read.
    db.rollback()
    return log_in(db, hasher, issuer, recognition, reminders, name, password, visitor)


def step_up(db: Db, hasher: PasswordHasher, user_id: UUID, session_id: UUID, current_password: str) -> None:
    """Prove the identity of a session's user once more, by the password. Raises WrongPassword if it is wrong."""
    users.find_by_password(db, hasher, user_id, current_password, "step_up_failed")
    # A change of the password meanwhile has ended this session, unless this session itself changed it.
    sessions.step_up(db, user_id, session_id)
    events.record(db, "stepped_up", user_id=user_id, session_id=session_id)


def change_password(
    db: Db,
    hasher: PasswordHasher,
    outbox: Outbox,
    user_id: UUID,
    session_id: UUID,
    current_password: str,
    new_password: str,
    accept_language: str | None,
) -> None:
    """Change a user's password, end all other sessions of the user, and send a notice.

    Raises WrongPassword if `current_password` is wrong. Raises PasswordContainsName if the new password contains the
    username or the email.
    """
    user = users.find_by_password(db, hasher, user_id, current_password, "password_change_failed")
    if password_policy.contains_identity(new_password, user.username, user.email):
        raise PasswordContainsName()
    if not _replace_hash(db, user, hasher.hash(new_password)):
        # Another request has changed the user since the read.
        db.rollback()
        change_password(db, hasher, outbox, user_id, session_id, current_password, new_password, accept_language)
        return
    sessions.revoke_others(db, user_id, session_id)
    codes.discard(db, user_id)
    notices.password_changed(db, outbox, user, accept_language)
    events.record(db, "password_changed", user_id=user_id)


def set_password(db: Db, hasher: PasswordHasher, outbox: Outbox, name: str, password: str) -> UserRow:
    """Set the password of the user with this username or email, end all sessions of the user, and send a notice.

    Raises NotFound if the user is unknown, and PasswordContainsName if the password contains the username or the email.
    """
    user = users.get(db, name)
    release_connection(db)
    if password_policy.contains_identity(password, user.username, user.email):
        raise PasswordContainsName()
    db.run(_SET_HASH, {"of_user": user.id, "renewed": hasher.hash(password)})
    # The hash changes before the sessions end, so a concurrent log-in either fails or loses its session.
    sessions.revoke_all(db, user.id)
    codes.discard(db, user.id)
    notices.password_changed(db, outbox, user, None)
    events.record(db, "password_changed", user_id=user.id)
    return user


def _renew_hash(db: Db, hasher: PasswordHasher, user: UserRow, password: str) -> UserRow:
    renewed = hasher.hash(password)
    return user._replace(password_hash=renewed) if _replace_hash(db, user, renewed) else user


def _replace_hash(db: Db, user: UserRow, password_hash: str) -> bool:
    """Replace the hash if the user is enabled and still has the verified hash, and return True if so.

    The user's row stays locked until the transaction ends.
    """
    read = {"of_user": user.id, "checked": user.password_hash}
    return db.run(_REPLACE_HASH, {**read, "renewed": password_hash}).rowcount == 1


_users = models.users
_REPLACE_HASH = (
    update(_users)
    .where(
        _users.c.id == bindparam("of_user"),
        _users.c.password_hash == bindparam("checked"),
        _users.c.disabled_at.is_(None),
    )
    .values(password_hash=bindparam("renewed"))
)
_SET_HASH = update(_users).where(_users.c.id == bindparam("of_user")).values(password_hash=bindparam("renewed"))
