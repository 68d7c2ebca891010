"""The roles of users, and the rule that at least one enabled admin remains."""

from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from sqlalchemy import bindparam, select, update

from api import models
from api.errors import InsufficientScope, InvalidToken, LastAdmin, NotFound, OwnUser
from api.services import events, sessions
from api.storage.database import Db

ADMIN, DEFAULT = "admin", "user"
"""The role that administers the others, and the role of a user who signs up."""
Scopes = Mapping[str, frozenset[str]]
"""The scopes of each role."""
_LOCK = "the admins"
_NO_USER = UUID(int=0)


class Caller(Protocol):
    """The session of a user who calls, and its scopes when its token was verified."""

    @property
    def user_id(self) -> UUID: ...

    @property
    def session_id(self) -> UUID: ...

    @property
    def scopes(self) -> frozenset[str]: ...


def change(db: Db, user_id: UUID, role: str) -> None:
    """Give a user a role. Raises NotFound if the user is unknown, and LastAdmin if no enabled admin would remain."""
    if role != ADMIN:
        keep_an_admin(db, user_id)
    if db.run(_SET, {"of_user": user_id, "new_role": role}).rowcount == 0:
        raise NotFound()
    events.record(db, "role_changed", user_id=user_id, role=role)


def must_hold(role_scopes: Scopes, own: frozenset[str], *names: str) -> None:
    """Raise InsufficientScope if the caller lacks a scope of these roles, which it wants to give or to take away."""
    missing = {scope for name in names for scope in role_scopes.get(name, ())} - own
    if missing:
        raise InsufficientScope(sorted(missing))


def must_still_hold(db: Db, role_scopes: Scopes, caller: Caller) -> None:
    """Raise InvalidToken if the caller's session has ended, and InsufficientScope if its role has lost a scope.

    The request may have waited since its token was verified. Call this after the first write: only then does SQLite
    read the latest commits.
    """
    owner = sessions.find_owner(db, caller.session_id)
    if owner is None:
        raise InvalidToken()
    lost = caller.scopes - role_scopes.get(owner.user.role, frozenset())
    if lost:
        raise InsufficientScope(sorted(lost))


def must_be_another(caller: UUID, user_id: UUID) -> None:
    """Raise OwnUser if the user is the caller. Admins must not demote, disable or delete themselves."""
    if caller == user_id:
        raise OwnUser()


def keep_an_admin(db: Db, user_id: UUID) -> None:
    """Raise LastAdmin if the user is the only enabled admin with a password. Call it before the user stops being one.

    Until the transaction ends, other transactions wait here, so two admins cannot demote each other.
    """
    db.lock(_LOCK)
    # On SQLite, a write that changes nothing takes the write lock, so the next statement reads all commits.
    db.run(_TAKE_WRITE_LOCK)
    if is_admin(db, user_id) and db.run(_OTHER_ADMIN, {"of_user": user_id}).first() is None:
        raise LastAdmin()


def is_admin(db: Db, user_id: UUID) -> bool:
    """Return True if a user is an enabled admin with a password."""
    return db.run(_IS_ADMIN, {"of_user": user_id}).first() is not None


def has_admin(db: Db) -> bool:
    """Return True if there is an enabled admin with a password."""
    return db.run(_OTHER_ADMIN, {"of_user": _NO_USER}).first() is not None


def in_use(db: Db) -> list[str]:
    """Return the roles that users have. This takes one search of the index for each role."""
    found: list[str] = []
    while (role := db.run(_NEXT, {"after": found[-1] if found else ""}).scalar()) is not None:
        found.append(role)
    return found


_users = models.users
_is_user = _users.c.id == bindparam("of_user")
# A user whom an admin has created cannot log in before the first password.
_is_admin = (_users.c.role == ADMIN, _users.c.disabled_at.is_(None), _users.c.password_hash != "")
_SET = update(_users).where(_is_user).values(role=bindparam("new_role"))
_TAKE_WRITE_LOCK = update(_users).where(_users.c.id == _NO_USER).values(role=ADMIN)
_IS_ADMIN = select(_users.c.id).where(_is_user, *_is_admin)
_OTHER_ADMIN = select(_users.c.id).where(_users.c.id != bindparam("of_user"), *_is_admin).limit(1)
_NEXT = select(_users.c.role).where(_users.c.role > bindparam("after")).order_by(_users.c.role).limit(1)
