"""Credentials: what a user logs in with, and how the password is changed."""

from functools import partial
from typing import cast
from uuid import UUID

from sqlalchemy import CursorResult, update

from api import logs
from api.database import Db, after_commit, release
from api.errors import InvalidCredentials, PasswordTooGuessable, WrongPassword
from api.hashing import Hasher
from api.models import User
from api.services import passwords, sessions, users
from api.services.token_pairs import Mint, TokenPair


def log_in(db: Db, hasher: Hasher, mint: Mint, name: str, password: str, address: str, user_agent: str) -> TokenPair:
    """Start a session for the user with this name, or email, and password; raises InvalidCredentials."""
    user = _check(db, hasher, name, password)
    return sessions.issue(db, mint, user.id, address, user_agent)


def _check(db: Db, hasher: Hasher, name: str, password: str) -> User:
    user = users.find_by_name(db, name)
    release(db)
    # Unknown users cost a hash as well: the time tells no more than the answer.
    is_right = hasher.check(password, user.password_hash if user else None)
    if user is None or not is_right or user.disabled_at is not None:
        logs.event("log_in_failed", user_id=user.id if user else None)
        raise InvalidCredentials()
    renewed = hasher.hash(password) if hasher.is_stale(user.password_hash) else user.password_hash
    if _replace(db, user, renewed):
        return user
    _give_way(db)
    return _check(db, hasher, name, password)


def change_password(
    db: Db, hasher: Hasher, user_id: UUID, session_id: UUID, current_password: str, new_password: str
) -> None:
    """Give a user another password, and end all sessions but the one that asks.

    Raises WrongPassword unless `current_password` is right, and PasswordTooGuessable.
    """
    user = users.find(db, user_id)
    release(db)
    if not hasher.check(current_password, user.password_hash):
        logs.event("password_change_failed", user_id=user_id)
        raise WrongPassword()
    if passwords.holds_own_name(new_password, user.username, user.email):
        raise PasswordTooGuessable("new_password")
    if not _replace(db, user, hasher.hash(new_password)):
        _give_way(db)
        change_password(db, hasher, user_id, session_id, current_password, new_password)
        return
    sessions.revoke_others(db, user_id, session_id)
    after_commit(db, partial(logs.event, "password_changed", user_id=user_id))


def _replace(db: Db, user: User, password_hash: str) -> bool:
    """Write the hash if the one that was checked still holds, and nobody has disabled the user meanwhile.

    It holds the user's row until the transaction ends: a change of the password ends every session that began before.
    """
    checked = (User.id == user.id, User.password_hash == user.password_hash, User.disabled_at.is_(None))
    result = db.execute(update(User).where(*checked).values(password_hash=password_hash))
    return cast("CursorResult[object]", result).rowcount == 1


def _give_way(db: Db) -> None:
    """Let go of what others wait for, and forget what was read: somebody else has changed the user meanwhile."""
    db.rollback()
