"""The audit log: record an event in the transaction of its change, list events, and delete old ones.

An event that cannot be written fails the request, and nothing changes. No event holds a name, an address, a secret, or
a text that a client has sent. The address and the agent of the client are in another table,
and are deleted earlier.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, NoReturn
from uuid import UUID

from sqlalchemy import Select, bindparam, case, delete, insert, select, update
from sqlalchemy.exc import OperationalError, ProgrammingError

from api import clock, logs, models
from api.crypto.cursors import CursorCodec, Listing
from api.errors import ApiError
from api.services import paging
from api.storage.database import HIGHEST_ID, Db, first_id, new_id

_LISTING, _OWN_LISTING = "events", "own events"
_PURGED_AT_ONCE = 100
_LONGEST_OPERATION = 64
# A page with both a user and an event reads at most this many events of the user, and may have fewer items.
_SCANNED = 500
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
# The id of an event is made a moment after its time.
_MARGIN = timedelta(seconds=1)


def begin_operation(operation: str, user_agent: str) -> None:
    """Note the operation and the agent of a request, for the events that it causes in this thread from now on."""
    logs.cause.set(logs.cause.get()._replace(operation=operation, user_agent=user_agent))


def record(db: Db, name: str, **facts: Any) -> None:
    """Write an event in the transaction, and log it once the transaction is committed.

    `user_id` is the user whom the event is about, and `session_id` the session, if it is not the caller's. Other facts
    are ids, reasons and numbers. Raises OperationalError if the database cannot write the event, which becomes a 503.
    """
    add(db, name, **facts)
    db.after_commit(partial(logs.event, name, **facts))


def add(db: Db, name: str, **facts: Any) -> None:
    """Write an event in the transaction, as `record` does, but do not log it. Raises OperationalError."""
    cause, request = logs.cause.get(), logs.request_context.get() or {}
    user_id, session_id = facts.pop("user_id", None), facts.pop("session_id", None)
    request_id = request.get("request_id")
    event = {
        "id": new_id(),
        "at": clock.now(),
        "event": name,
        "user_id": user_id,
        "actor": cause.actor,
        "actor_id": cause.actor_id,
        "session_id": session_id or cause.session_id,
        "operation": cause.operation and cause.operation[:_LONGEST_OPERATION],
        "request_id": None if request_id is None else UUID(request_id),
        "facts": {key: _plain(value) for key, value in facts.items()},
    }
    if cause.operation is None:
        _insert(db, event, None)
    else:
        owner = cause.user_id or user_id
        _insert(db, event, {"owner": owner, "address": request.get("address") or "", "agent": cause.user_agent})


def refuse(db: Db, error: ApiError, name: str, **facts: Any) -> NoReturn:
    """Undo the transaction, record a failed attempt instead, and raise the error, which commits the event."""
    db.rollback()
    record(db, name, **facts)
    error.commits = True
    raise error


def _insert(db: Db, event: dict[str, Any], origin: dict[str, Any] | None) -> None:
    try:
        if origin is None:
            db.run(_INSERT, event)
        elif db.connection().dialect.name == "postgresql":
            # One round trip for both rows.
            db.run(_INSERT_BOTH, event | origin)
        else:
            db.run(_INSERT, event)
            db.run(_INSERT_ORIGIN, origin | {"of_event": event["id"]})
    except ProgrammingError as error:
        # On PostgreSQL, this is a missing table or right. On SQLite, the same is an OperationalError.
        raise OperationalError(error.statement, None, error.orig or error) from error


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


class Filters(NamedTuple):
    """The filters of a list: the user, the name of the event, and the times `since` (included) and `until`."""

    user_id: UUID | None = None
    event: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def page(
    db: Db, cursors: CursorCodec, caller: UUID, filters: Filters, *, limit: int, cursor: str | None
) -> dict[str, Any]:
    """Return a page of all events, newest first, starting after `cursor`. Raises InvalidCursor.

    A page with both a user and an event may have fewer than `limit` items, although another page follows.
    """
    listing = Listing(_LISTING, caller, filters)
    (before,) = [HIGHEST_ID] if cursor is None else cursors.read(listing, cursor)
    items, last = _find(db, filters, before, limit)
    return {"items": items, "next_cursor": None if last is None else cursors.make(listing, [last])}


def list_newest(db: Db, filters: Filters, most: int) -> list[Any]:
    """Return the newest events that match the filters, at most `most`."""
    found: list[Any] = []
    last: UUID | None = HIGHEST_ID
    while last is not None and len(found) < most:
        items, last = _find(db, filters, last, most - len(found))
        found += items
    return found


def _find(db: Db, filters: Filters, before: UUID, limit: int) -> tuple[Sequence[Any], UUID | None]:
    """Return up to `limit` events below an id, and the id below which more may follow, or None."""
    statement, wanted = _selection(filters)
    is_narrowed = filters.user_id is not None and filters.event is not None
    most = max(_SCANNED, limit + 1) if is_narrowed else limit + 1
    rows = db.run(statement, wanted | _range(filters, before) | {"most": most}).all()
    found = [row for row in rows if row.event == filters.event] if is_narrowed else rows
    if len(found) > limit:
        return found[:limit], found[limit - 1].id
    return found, rows[-1].id if is_narrowed and len(rows) == most else None


def _selection(filters: Filters) -> tuple[Select[Any], dict[str, Any]]:
    """Return the statement whose index serves the filters, with its parameters."""
    if filters.user_id is not None:
        return _OF_USER, {"of_user": filters.user_id}
    return (_ALL, {}) if filters.event is None else (_OF_NAME, {"of_name": filters.event})


def own_page(db: Db, cursors: CursorCodec, user_id: UUID, *, limit: int, cursor: str | None) -> dict[str, Any]:
    """Return a page of the events about a user, newest first, starting after `cursor`. Raises InvalidCursor.

    An event has the client that caused it, unless another user did.
    """

    def read(before: UUID, most: int) -> Sequence[Any]:
        return db.run(_OWN, {"of_user": user_id, "before": before, "most": most}).all()

    items, following = paging.newest_first(cursors, Listing(_OWN_LISTING, user_id), limit, cursor, read)
    return {"items": items, "next_cursor": following}


def _range(filters: Filters, before: UUID) -> dict[str, Any]:
    """Return the times of a list, and the range of ids that contains all events of these times."""
    since, until = _clamped(filters.since or _FIRST), _clamped(filters.until or _LAST)
    first, last = first_id(since - _MARGIN), first_id(until + _MARGIN)
    return {"since": since, "until": until, "first": first, "before": min(before, last)}


def _clamped(moment: datetime) -> datetime:
    """Return a time that has an id and a form in UTC."""
    return min(max(moment, _FIRST), _LAST)


def purge(db: Db, stay: timedelta, origin_stay: timedelta) -> bool:
    """Delete events older than `stay` and origins older than `origin_stay`, up to 100 of each.

    Return True if more may be waiting.
    """
    origins = _delete_origins(db, clock.now() - min(stay, origin_stay))
    return max(origins, _delete_events(db, clock.now() - stay)) == _PURGED_AT_ONCE


def _delete_origins(db: Db, before: datetime) -> int:
    # The read takes no lock of SQLite if there is nothing to delete.
    found = db.run(_OLD_ORIGINS, {"until": first_id(before), "most": _PURGED_AT_ONCE}).scalars().all()
    if found:
        db.run(_DELETE_ORIGINS, {"found": found})
    return len(found)


def _delete_events(db: Db, before: datetime) -> int:
    wanted = {"until": first_id(before), "time": before, "most": _PURGED_AT_ONCE}
    found = db.run(_OLD_EVENTS, wanted).scalars().all()
    if found:
        # The trigger refuses the deletion otherwise.
        db.run(_ALLOW, {"time": before})
        db.run(_DELETE_EVENTS, {"found": found})
    return len(found)


def forget_user(db: Db, user_id: UUID) -> None:
    """Delete the addresses and agents of a user. The events stay."""
    db.run(_FORGET, {"of_user": user_id})


_events, _origins, _purge = models.events, models.event_origins, models.events_purge
_INSERT = insert(_events)
_origin_values = {
    "user_id": bindparam("owner", type_=_origins.c.user_id.type),
    "ip_address": bindparam("address", type_=_origins.c.ip_address.type),
    "user_agent": bindparam("agent", type_=_origins.c.user_agent.type),
}
_INSERT_ORIGIN = insert(_origins).values(event_id=bindparam("of_event"), **_origin_values)
_recorded = (
    insert(_events)
    .values({column.name: bindparam(column.name, type_=column.type) for column in _events.c})
    .returning(_events.c.id)
    .cte("recorded")
)
_INSERT_BOTH = insert(_origins).from_select(
    ["event_id", *_origin_values], select(_recorded.c.id, *_origin_values.values())
)
_COLUMNS = list(_events.c)


def _listed(*conditions: Any) -> Select[Any]:
    return (
        select(*_COLUMNS)
        .where(
            *conditions,
            _events.c.id < bindparam("before"),
            _events.c.id >= bindparam("first"),
            _events.c.at >= bindparam("since"),
            _events.c.at < bindparam("until"),
        )
        .order_by(_events.c.id.desc())
        .limit(bindparam("most"))
    )


_ALL = _listed()
_OF_USER = _listed(_events.c.user_id == bindparam("of_user"))
_OF_NAME = _listed(_events.c.event == bindparam("of_name"))
# The session of another user, such as an admin, is hidden.
_by_itself = _events.c.actor_id.is_(None) | (_events.c.actor_id == _events.c.user_id)
_OWN = (
    select(
        *(column for column in _COLUMNS if column.name != "session_id"),
        case((_by_itself, _events.c.session_id)).label("session_id"),
        _origins.c.ip_address,
        _origins.c.user_agent,
    )
    .outerjoin(_origins, (_origins.c.event_id == _events.c.id) & (_origins.c.user_id == _events.c.user_id))
    .where(_events.c.user_id == bindparam("of_user"), _events.c.id < bindparam("before"))
    .order_by(_events.c.id.desc())
    .limit(bindparam("most"))
)
_FORGET = delete(_origins).where(_origins.c.user_id == bindparam("of_user"))
# Ids are in the order of creation (UUIDv7).
_OLD_ORIGINS = (
    select(_origins.c.event_id)
    .where(_origins.c.event_id < bindparam("until"))
    .order_by(_origins.c.event_id)
    .limit(bindparam("most"))
    # On PostgreSQL, workers that purge at the same time take different rows.
    .with_for_update(skip_locked=True)
)
_DELETE_ORIGINS = delete(_origins).where(_origins.c.event_id.in_(bindparam("found", expanding=True)))
_OLD_EVENTS = (
    select(_events.c.id)
    .where(_events.c.id < bindparam("until"), _events.c.at < bindparam("time"))
    .order_by(_events.c.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_DELETE_EVENTS = delete(_events).where(_events.c.id.in_(bindparam("found", expanding=True)))
_ALLOW = update(_purge).where(_purge.c.id == 1, _purge.c.before < bindparam("time")).values(before=bindparam("time"))
