"""The SQL statements of sessions, built once at import: building one takes longer than running it."""

from typing import Any

from sqlalchemy import Boolean, Column, ColumnElement, bindparam, delete, exists, func, insert, select, update

from api import models
from api.services.expired_rows import ExpiredRows

_session, _user, _place = models.sessions, models.users, models.known_places

_of_session = _session.c.id == bindparam("of_session")
_of_user = _session.c.user_id == bindparam("of_user")
_is_live = _session.c.expires_at > bindparam("now")
_is_enabled = _user.c.disabled_at.is_(None)
PROFILE = (
    _user.c.id.label("user_id"),
    _user.c.created_at.label("user_created_at"),
    _user.c.username,
    _user.c.email,
    _user.c.email_verified_at,
    _user.c.pending_email,
    _user.c.display_name,
    _user.c.locale,
    _user.c.role,
)
"""The columns of a user that `profile_of` reads."""

# Sessions without a step-up have the time of the log-in.
_owner = (*PROFILE, func.coalesce(_session.c.authenticated_at, _session.c.created_at).label("authenticated_at"))

# The labelled columns of the profile never change.
_changeable = [column for column in PROFILE if isinstance(column, Column) and column.name != "email_verified_at"]
READ = (_user.c.id, _user.c.password_hash, *_changeable)
"""The columns of a user that START compares, each with the parameter `read_<column>`.

Processes cache the user as it was read, so the columns of the profile are among them. SQLite may store the same time in
two forms, so of the time of the verification, START only compares whether there is one: `read_unverified`.
"""
_is_unverified_as_read = _user.c.email_verified_at.is_(None) == bindparam("read_unverified", type_=Boolean)


def _is_as_read(column: Column[Any]) -> ColumnElement[bool]:
    value = bindparam(f"read_{column.name}", type_=column.type)
    return column.is_not_distinct_from(value) if column.nullable else column == value


_other = _session.alias()
_given = [column for column in _session.c if column.name not in {"user_id", "refreshes", "authenticated_at"}]
START = (
    insert(_session)
    .from_select(
        ["user_id", *(column.name for column in _given)],
        select(_user.c.id, *(bindparam(column.name, type_=column.type) for column in _given))
        .where(_is_enabled, _is_unverified_as_read, *map(_is_as_read, READ))
        # PostgreSQL locks the user until the transaction ends, so other log-ins of the user wait. On SQLite, the insert
        # holds the write lock.
        .with_for_update(key_share=True),
    )
    .returning(
        exists(
            select(_other.c.id)
            .where(_other.c.user_id == bindparam("read_id"), _other.c.id != bindparam("id"))
            .order_by(_other.c.id)
            .offset(bindparam("others"))
            .limit(1)
        ).label("may_exceed"),
        select(_place.c.seen_at)
        .where(_place.c.user_id == bindparam("read_id"), _place.c.digest == bindparam("place"))
        .scalar_subquery()
        .label("place_seen_at"),
    )
)
"""Insert a session if its user is enabled and is still as it was read.

Return whether the user has more than `others` other sessions, and when the user's `place` was seen, if it is known.
"""

OF_FAMILY = (
    select(_session.c.id, _session.c.created_at, _session.c.refresh_token, _session.c.refreshes, *_owner)
    .join(_user, _user.c.id == _session.c.user_id)
    .where(_session.c.family == bindparam("family"))
)
# A user who was disabled or deleted by hand may still have sessions.
_has_user = exists().where(_user.c.id == _session.c.user_id, _is_enabled)
TOUCH = (
    update(_session)
    .where(_of_session, _is_live, _has_user)
    .values(
        last_used_at=bindparam("now"),
        expires_at=bindparam("until"),
        ip_address=bindparam("address"),
        user_agent=bindparam("agent"),
    )
)
ROTATE = TOUCH.where(_session.c.refresh_token == bindparam("used")).values(
    refresh_token=bindparam("next"), refreshes=bindparam("latest", type_=_session.c.refreshes.type)
)
"""Replace the refresh token of a session, unless another request has replaced it."""

STEP_UP = update(_session).where(_of_session, _of_user, _is_live).values(authenticated_at=bindparam("now"))
OWNER = select(*_owner).join(_session, _session.c.user_id == _user.c.id).where(_of_session, _is_live, _is_enabled)
PAGE = (
    select(
        _session.c.id,
        _session.c.created_at,
        _session.c.last_used_at,
        _session.c.expires_at,
        _session.c.ip_address,
        _session.c.user_agent,
        (_session.c.id == bindparam("current")).label("current"),
    )
    .where(_of_user, _session.c.id < bindparam("before"), _is_live)
    .order_by(_session.c.id.desc())
    .limit(bindparam("most"))
)

END = delete(_session).where(_of_user, _of_session).returning(_session.c.id)
LOCK_USER = select(_user.c.id).where(_user.c.id == bindparam("of_user")).with_for_update(key_share=True)
"""Let other requests that change the user, or end all but one of the user's sessions, wait for this transaction."""

END_OTHERS = delete(_session).where(_of_user, _session.c.id != bindparam("of_session")).returning(_session.c.id)
END_ALL = delete(_session).where(_of_user).returning(_session.c.id)

ENDED_AT_ONCE = 20
# Only the oldest sessions are candidates, because reading all of them would take long if a user has very many. With at
# most 20 sessions beyond the limit, all sessions are candidates.
_candidate = (
    select(_session.c.id, _session.c.last_used_at)
    .where(_of_user, _session.c.id != bindparam("besides"))
    .order_by(_session.c.id)
    .limit(bindparam("candidates"))
    .subquery()
)
_excess = (
    select(_candidate.c.id)
    .order_by(_candidate.c.last_used_at.desc(), _candidate.c.id.desc())
    .offset(bindparam("kept"))
    .limit(ENDED_AT_ONCE)
)
END_EXCESS = delete(_session).where(_session.c.id.in_(_excess)).returning(_session.c.id)
"""End the least recently used of the oldest sessions of a user. Only sessions beyond the limit are ended."""

OWNERS = (
    select(_session.c.user_id)
    .where(_session.c.user_id > bindparam("after"))
    .order_by(_session.c.user_id)
    .limit(bindparam("most"))
)
"""The user of each session, in the order of the index."""

EXPIRED = ExpiredRows(_session, "expires_at")
