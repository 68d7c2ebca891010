"""Profiles: the changes that users make to their own."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, update
from sqlalchemy.exc import IntegrityError

from api import models
from api.errors import UsernameTaken
from api.models.user import Profile, UserRow
from api.services import events, names, usernames, users
from api.storage.database import Db


def change(db: Db, user_id: UUID, changes: Mapping[str, str | None], name_stay: timedelta) -> Profile:
    """Write the given columns of a user, and only these. Return the profile.

    A username that the user gives up stays reserved for `name_stay`. Raises UsernameTaken if another user has the
    username or gave it up. Raises TooManyNames if the user has given up too many. Raises InvalidToken if the user is
    unknown or disabled.
    """
    former = users.find(db, user_id).username_key
    values: dict[str, Any] = dict(changes)
    if "username" in changes:
        values["username_key"] = names.canonical(str(changes["username"]))
    row = _written(db, {"of_user": user_id, "former": former}, values)
    if row is None:
        # Another request has changed the user since the read.
        db.rollback()
        return change(db, user_id, changes, name_stay)
    if (key := values.get("username_key", former)) != former:
        usernames.exchange(db, user_id, former, key, name_stay)
    events.record(db, "profile_changed", user_id=user_id)
    return row.profile


def _written(db: Db, found: dict[str, Any], values: dict[str, Any]) -> UserRow | None:
    """Write the columns if the user is enabled and still has the former username. Return the row if so."""
    try:
        row = db.run(_CHANGE.values(values), found).first()
    except IntegrityError as error:
        # PostgreSQL quotes the value on the next line.
        if "username_key" not in str(error.orig).partition("\n")[0]:
            raise
        raise UsernameTaken() from None
    return None if row is None else UserRow._make(row)


_users = models.users
_CHANGE = (
    update(_users)
    .where(
        _users.c.id == bindparam("of_user"),
        _users.c.username_key == bindparam("former"),
        _users.c.disabled_at.is_(None),
    )
    .returning(*(_users.c[name] for name in UserRow._fields))
)
