"""Users: create, find, disable and enable."""

from functools import partial
from uuid import UUID

from sqlalchemy import bindparam, or_, select
from sqlalchemy.exc import IntegrityError

from api import clock, logs
from api.database import Db
from api.errors import EmailTaken, InvalidToken, NotFound, PasswordTooGuessable, UsernameTaken
from api.hashing import Hasher
from api.models import User
from api.services import names, passwords, sessions


def create(db: Db, hasher: Hasher, username: str, email: str, password: str) -> User:
    """Create a user; no two share a username or an email."""
    if passwords.holds_own_name(password, username, email):
        raise PasswordTooGuessable("password")
    email = names.normalize_email(email)
    user = User(
        username=username,
        username_key=names.canonical(username),
        email=email,
        email_key=names.canonical(email),
        password_hash=hasher.hash(password),
    )
    db.add(user)
    try:
        db.flush()
    except IntegrityError as error:
        # Both databases name what stood in the way; PostgreSQL quotes the value below, which may be such a name too.
        reason = str(error.orig).partition("\n")[0]
        raise (EmailTaken if "email_key" in reason else UsernameTaken)() from None
    db.after_commit(partial(logs.event, "user_created", user_id=user.id))
    return user


def find(db: Db, user_id: UUID) -> User:
    """The user with this id; raises InvalidToken for nobody and who is disabled, for ids come from tokens."""
    user = db.get(User, user_id)
    if user is None or user.disabled_at is not None:
        raise InvalidToken()
    return user


def find_by_name(db: Db, name: str) -> User | None:
    """Return the user with this username or email, or None."""
    return db.scalar(_BY_NAME, {"key": names.log_in_key(name)})


def disable(db: Db, name: str) -> User:
    """Let nobody log in as the user with this username or email, and end all sessions; raises NotFound."""
    user = _named(db, name)
    user.disabled_at = clock.now()
    # First the user, then the sessions: who is logging in meanwhile comes too late, or loses the session again.
    db.flush()
    sessions.revoke_all(db, user.id)
    db.after_commit(partial(logs.event, "user_disabled", user_id=user.id))
    return user


def enable(db: Db, name: str) -> User:
    """Let the user with this username or email log in again; raises NotFound."""
    user = _named(db, name)
    user.disabled_at = None
    db.after_commit(partial(logs.event, "user_enabled", user_id=user.id))
    return user


def _named(db: Db, name: str) -> User:
    user = find_by_name(db, name)
    if user is None:
        raise NotFound()
    return user


_BY_NAME = select(User).where(or_(User.username_key == bindparam("key"), User.email_key == bindparam("key")))
