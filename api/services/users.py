"""Users: create, find, list, disable and enable."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from api import clock, models
from api.crypto.password_hasher import PasswordHasher
from api.errors import EmailTaken, InvalidToken, NotFound, PasswordContainsName, UsernameTaken, WrongPassword
from api.models.user import Profile, UserRow
from api.services import codes, events, names, password_policy, roles, sessions, usernames
from api.storage.database import Db, new_id, release_connection


def create(
    db: Db, hasher: PasswordHasher, username: str, email: str, password: str, role: str = roles.DEFAULT
) -> Profile:
    """Create a user and return the profile. Raises PasswordContainsName, UsernameTaken or EmailTaken."""
    return add(db, username, email, hash_password(hasher, username, email, password), role=role)


def hash_password(hasher: PasswordHasher, username: str, email: str, password: str) -> str:
    """Return the hash of the password of a new user. Raises PasswordContainsName."""
    if password_policy.contains_identity(password, username, email):
        raise PasswordContainsName()
    return hasher.hash(password)


def add(
    db: Db,
    username: str,
    email: str,
    password_hash: str,
    *,
    is_verified: bool = False,
    role: str = roles.DEFAULT,
    locale: str | None = None,
) -> Profile:
    """Add a user with this hash and return the profile. Raises UsernameTaken or EmailTaken."""
    address = names.normalize_email(email)
    user = Profile(new_id(), username, address, clock.now(), email_verified=is_verified, role=role, locale=locale)
    values = {
        "id": user.id,
        "username": username,
        "username_key": names.canonical(username),
        "email": user.email,
        "email_key": names.email_key(user.email),
        "password_hash": password_hash,
        "created_at": user.created_at,
        "email_verified_at": user.created_at if is_verified else None,
        "role": role,
        "locale": locale,
    }
    try:
        db.run(_CREATE, values)
    except IntegrityError as error:
        # Both databases name the constraint on the first line. On the next one, PostgreSQL quotes the value, which may
        # contain the name of the other constraint.
        reason = str(error.orig).partition("\n")[0]
        raise (EmailTaken if "email_key" in reason else UsernameTaken)() from None
    usernames.must_be_free(db, str(values["username_key"]))
    # A user with more rights than others must be visible in the audit log.
    events.record(db, "user_created", user_id=user.id, **({"role": role} if role != roles.DEFAULT else {}))
    return user


def find_by_id(db: Db, user_id: UUID | None) -> UserRow | None:
    """Return the user with this id, or None. No user has the id None."""
    row = db.run(_BY_ID, {"of_user": user_id}).first()
    return None if row is None else UserRow._make(row)


def find(db: Db, user_id: UUID) -> UserRow:
    """Return the user with this id from a token. Raises InvalidToken if the user is unknown or disabled."""
    user = find_by_id(db, user_id)
    if user is None or user.disabled_at is not None:
        raise InvalidToken()
    return user


def find_by_password(db: Db, hasher: PasswordHasher, user_id: UUID, current_password: str, failure: str) -> UserRow:
    """Return the user with this id from a token, who has proved the identity by the password.

    Raises InvalidToken if the user is unknown or disabled. Raises WrongPassword, and records the event `failure`, if
    the password is wrong.
    """
    user = find(db, user_id)
    # Hashing takes long, and must hold no connection and no lock.
    release_connection(db)
    if not hasher.verify(current_password, user.password_hash):
        events.refuse(db, WrongPassword(), failure, user_id=user_id)
    return user


def find_by_name(db: Db, name: str) -> UserRow | None:
    """Return the user with this username or email, or None."""
    key = names.login_key(name)
    found = _read_by_key(db, key)
    # Until the next release, processes of 0.2.0 may add users with the former key during an upgrade.
    if found is not None or key.isascii() or (former := names.former_login_key(name)) == key:
        return found
    found = _read_by_key(db, former)
    return found if found is not None and names.email_key(found.email) == key else None


def _read_by_key(db: Db, key: str) -> UserRow | None:
    rows = db.read(_BY_NAME, {"key": key})
    return UserRow._make(rows[0]) if rows else None


def lock(db: Db, user_id: UUID) -> None:
    """Wait for other transactions that change or delete a user. PostgreSQL locks the user until this one ends."""
    db.run(_LOCK, {"of_user": user_id})


def lock_by_email(db: Db, email: str) -> UserRow | None:
    """Return the user with this email, or None. Until the transaction ends, the user cannot change."""
    row = db.run(_LOCK_BY_EMAIL, {"key": names.email_key(email)}).first()
    return None if row is None else UserRow._make(row)


def list_after(db: Db, user_id: UUID | None, most: int) -> list[UserRow]:
    """Return up to `most` users, the oldest first: those after this one, or the first ones."""
    rows = db.read(_AFTER, {"after": user_id or UUID(int=0), "most": most})
    return [UserRow._make(row) for row in rows]


def get(db: Db, user: str | UUID) -> UserRow:
    """Return the user with this username, email or id. Raises NotFound if the user is unknown."""
    found = find_by_name(db, user) if isinstance(user, str) else find_by_id(db, user)
    if found is None:
        raise NotFound()
    return found


def count_sessions(db: Db, user_id: UUID) -> int:
    """Return the number of sessions of a user that have not expired."""
    return int(db.run(_COUNT, {"of_user": user_id, "now": clock.now()}).scalar_one())


def disable(db: Db, user: str | UUID) -> UserRow:
    """Disable a user, given by username, email or id, and end all sessions and codes.

    A deletion that the user has requested is cancelled. Raises NotFound if the user is unknown, and LastAdmin if no
    enabled admin would remain.
    """
    found = get(db, user)
    roles.keep_an_admin(db, found.id)
    # The user is disabled before the sessions end, so a concurrent log-in either fails or loses its session.
    _set_state(db, found.id, disabled_at=clock.now())
    sessions.revoke_all(db, found.id)
    codes.discard(db, found.id)
    events.record(db, "user_disabled", user_id=found.id)
    return found


def enable(db: Db, user: str | UUID) -> UserRow:
    """Let a user, given by username, email or id, log in again, and cancel a requested deletion.

    Raises NotFound if the user is unknown.
    """
    found = get(db, user)
    _set_state(db, found.id, disabled_at=None)
    events.record(db, "user_enabled", user_id=found.id)
    return found


def log_out(db: Db, user_id: UUID) -> None:
    """End all sessions of a user. Raises NotFound if the user is unknown."""
    sessions.revoke_all(db, get(db, user_id).id)


def _set_state(db: Db, user_id: UUID, *, disabled_at: datetime | None) -> None:
    """Disable or enable a user, and cancel a requested deletion. Raises NotFound if another request has deleted it."""
    if db.run(_SET_STATE, {"of_user": user_id, "at": disabled_at}).rowcount == 0:
        raise NotFound()


_users = models.users
_CREATE = insert(_users)
_ROWS = select(*(_users.c[name] for name in UserRow._fields))
_BY_NAME = _ROWS.where(or_(_users.c.username_key == bindparam("key"), _users.c.email_key == bindparam("key")))
_BY_ID = _ROWS.where(_users.c.id == bindparam("of_user"))
_SET_STATE = (
    update(_users).where(_users.c.id == bindparam("of_user")).values(disabled_at=bindparam("at"), deletes_at=None)
)
_LOCK = select(_users.c.id).where(_users.c.id == bindparam("of_user")).with_for_update()
_LOCK_BY_EMAIL = _ROWS.where(_users.c.email_key == bindparam("key")).with_for_update()
# Ids are in the order of creation (UUIDv7).
_AFTER = _ROWS.where(_users.c.id > bindparam("after")).order_by(_users.c.id).limit(bindparam("most"))
_sessions = models.sessions
_COUNT = select(func.count()).where(
    _sessions.c.user_id == bindparam("of_user"), _sessions.c.expires_at > bindparam("now")
)
