"""Lists of users for admins: pages of all users, or of those whose username or email has a prefix."""

from dataclasses import fields
from datetime import datetime
from heapq import merge
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Select, Uuid, and_, any_, bindparam, func, select, text

from api import models
from api.crypto.cursors import CursorCodec, Listing
from api.errors import NotFound
from api.models.user import ManagedUser, profile_of
from api.services import names
from api.services.roles import DEFAULT
from api.storage.database import HIGHEST_ID, Db

_LISTING, _SEARCH = "users", "user search"
# Every character that continues a prefix is lower.
_HIGHEST = "\U0010ffff"
# A page of a search with filters reads at most this many users of each kind, even if none of them fits.
_WINDOW = 250


class Filters(NamedTuple):
    """The role and the state that users must have, or None for any."""

    role: str | None
    state: str | None

    def fit(self, row: Any) -> bool:
        """Return True if a user has the role and the state."""
        return self.role in {None, row.role} and self.state in {None, _state(row)}


def find(db: Db, user_id: UUID) -> ManagedUser:
    """Return the user with this id. Raises NotFound if the user is unknown."""
    row = db.run(_FIND, {"of_user": user_id}).first()
    if row is None:
        raise NotFound()
    return _managed(row)


def page(
    db: Db,
    cursors: CursorCodec,
    caller: UUID,
    search: str | None,
    filters: Filters,
    *,
    limit: int,
    cursor: str | None,
) -> dict[str, Any]:
    """Return a page of users, starting after `cursor`: the newest first, or the matches of a search by their names.

    A page of a search may be short, because the number of rows that it reads is limited. Raises InvalidCursor.
    """
    listing = Listing(_LISTING if search is None else _SEARCH, caller, [search, *filters])
    last = None if cursor is None else cursors.read(listing, cursor)
    rows, key = (
        _newest(db, filters, limit, last[0] if last else HIGHEST_ID)
        if search is None
        else _matching(db, search, filters, limit, last[0] if last else "")
    )
    items = [_managed(row) for row in rows]
    return {"items": items, "next_cursor": None if key is None else cursors.make(listing, [key])}


def _newest(db: Db, filters: Filters, limit: int, before: UUID) -> tuple[list[Any], UUID | None]:
    """Return up to `limit` users, and the id of the last one if there are more."""
    # One row more shows whether there is a next page.
    wanted: dict[str, Any] = {"before": before, "most": limit + 1}
    if filters.role is not None:
        wanted["of_role"] = filters.role
    kind = filters.role if filters.role in {None, DEFAULT} else _ANY
    rows = list(db.run(_LISTS[kind, filters.state], wanted))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def _matching(db: Db, search: str, filters: Filters, limit: int, after: str) -> tuple[list[Any], str | None]:
    """Return up to `limit` users whose names have a prefix, and the name after which to continue if there may be more.

    Both columns are read in the order of an index, a limited number of rows each.
    """
    prefix = names.search_key(search)
    # One row more shows whether there is a next page.
    window = limit + 1 if filters == (None, None) else _WINDOW
    # No name contains this character, so no name is between `after` and the start.
    wanted = {"start": f"{after}\x01" if after else prefix, "until": prefix + _HIGHEST, "most": window}
    searches = _SEARCHES[db.connection().dialect.name]
    # Only an email contains this character.
    columns = (["email_key"] if "@" in prefix else ["username_key", "email_key"]) if prefix else []
    found = [list(db.run(searches[column], wanted)) for column in columns]
    # Beyond this name, one of the reads has ended early.
    horizon = min((rows[-1].name for rows in found if len(rows) == window), default=None)
    rows = [
        row
        for row in merge(*found, key=lambda row: row.name)
        if (horizon is None or row.name <= horizon) and not _is_repeated(row, prefix) and filters.fit(row)
    ]
    key = rows[limit - 1].name if len(rows) > limit else horizon
    return _details(db, [row.id for row in rows[:limit]]), key


def _is_repeated(row: Any, prefix: str) -> bool:
    """Return True for an email whose user is in the list already, because the username matches as well."""
    username_key: str = row.username_key
    return row.name != username_key and username_key.startswith(prefix)


def _details(db: Db, ids: list[UUID]) -> list[Any]:
    """Return users in the order of these ids. Leave out those who were deleted meanwhile."""
    details = _DETAILS[db.connection().dialect.name]
    rows = {row.id: row for row in db.run(details, {"found": ids})} if ids else {}
    return [rows[user_id] for user_id in ids if user_id in rows]


def _state(row: Any) -> str:
    if row.is_deleting:
        return "deleting"
    return "disabled" if row.is_disabled else "enabled"


def _managed(row: Any) -> ManagedUser:
    moments: list[datetime] = [moment for moment in (row.began_at, row.seen_at) if moment is not None]
    profile = profile_of(row.id, row.created_at, row)
    return ManagedUser(
        **{field.name: getattr(profile, field.name) for field in fields(profile)},
        disabled_at=row.disabled_at,
        deletes_at=row.deletes_at,
        last_log_in_at=max(moments, default=None),
    )


_users, _sessions, _places = models.users, models.sessions, models.known_places
# Ids are in the order of creation (UUIDv7).
_began_at = (
    select(_sessions.c.created_at)
    .where(_sessions.c.user_id == _users.c.id)
    .order_by(_sessions.c.id.desc())
    .limit(1)
    .scalar_subquery()
)
_seen_at = select(func.max(_places.c.seen_at)).where(_places.c.user_id == _users.c.id).scalar_subquery()
_ROWS = select(
    *(_users.c[field.name] for field in fields(ManagedUser) if field.name in _users.c),
    _users.c.email_verified_at,
    _began_at.label("began_at"),
    _seen_at.label("seen_at"),
)
_FIND = _ROWS.where(_users.c.id == bindparam("of_user"))
_DETAILS = {
    "sqlite": _ROWS.where(_users.c.id.in_(bindparam("found", expanding=True))),
    # One parameter, because psycopg parses a statement with more than 50 of them each time.
    "postgresql": _ROWS.where(_users.c.id == any_(bindparam("found", type_=ARRAY(Uuid)))),
}

_STATES = {
    "deleting": _users.c.deletes_at.is_not(None),
    "disabled": and_(_users.c.disabled_at.is_not(None), _users.c.deletes_at.is_(None)),
    "enabled": _users.c.disabled_at.is_(None),
}


def _newest_of(has_role: bool, state: str | None, is_default: bool) -> Select[Any]:
    """Return the statement of a list."""
    found = _ROWS.where(_users.c.id < bindparam("before"))
    if has_role:
        # An expression, so that the index of the roles is not used: most users have the default role.
        by_state = is_default and state is not None
        found = found.where((_users.c.role.concat("") if by_state else _users.c.role) == bindparam("of_role"))
    if state is not None:
        found = found.where(_STATES[state])
    return found.order_by(_users.c.id.desc()).limit(bindparam("most"))


_ANY = "any"
"""Any role but the default one."""
_LISTS = {
    (kind, state): _newest_of(kind is not None, state, kind == DEFAULT)
    for kind in (None, DEFAULT, _ANY)
    for state in (None, *_STATES)
}


def _search(dialect: str, column: str) -> Select[Any]:
    """Return the statement that reads the users whose name is in a range, in the order of its bytes."""
    key = _users.c[column]
    found = select(
        _users.c.id,
        key.label("name"),
        _users.c.username_key,
        _users.c.role,
        # A read may have hundreds of rows, and times take long to convert.
        _users.c.disabled_at.is_not(None).label("is_disabled"),
        _users.c.deletes_at.is_not(None).label("is_deleting"),
    ).limit(bindparam("most"))
    if dialect == "postgresql":
        # The operators of text_pattern_ops, which the collation of the database does not change.
        found = found.where(key.op("~>=~")(bindparam("start")), key.op("~<~")(bindparam("until")))
        return found.order_by(text(f"users.{column} USING ~<~"))
    return found.where(key >= bindparam("start"), key < bindparam("until")).order_by(key)


_SEARCHES = {
    dialect: {column: _search(dialect, column) for column in ("username_key", "email_key")}
    for dialect in ("sqlite", "postgresql")
}
