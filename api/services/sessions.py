"""Sessions: start, refresh, list and end. A session that has ended has no row."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, NoReturn
from uuid import UUID

from sqlalchemy import Executable

from api import clock, logs
from api.crypto.cursors import CursorCodec, Listing
from api.crypto.refresh_tokens import digest
from api.errors import InvalidRefreshToken, InvalidToken, NotFound, RefreshTokenReused
from api.models.user import UserRow, profile_of
from api.services import events, paging
from api.services import session_statements as sql
from api.services.token_issuer import LiveSession, SessionOwner, TokenIssuer, TokenPair
from api.storage.database import Db, new_id

_LISTING = "sessions"
_NO_SESSION = UUID(int=0)
# A client that refreshes more often within the grace period can no longer repeat the oldest of these refreshes.
_MOST_REFRESHES = 100
# On PostgreSQL, a log-in that waited for other log-ins of its user does not count their sessions. This many may wait.
_STARTING = 10
# After this time, the trigger `sessions_delete` no longer reports the deletion to other processes.
_PURGED_AFTER = timedelta(hours=1)


class Started(NamedTuple):
    """The tokens of a new session, and when the place of its client was seen, or None if the place is unknown."""

    pair: TokenPair
    place_seen_at: datetime | None


def start(
    db: Db, issuer: TokenIssuer, user: UserRow, address: str, user_agent: str, place: bytes | None
) -> Started | None:
    """Start a session for a user, or return None if the user was changed or disabled after `user` was read.

    The least recently used session ends if the user has too many.

    Until the transaction ends, the user cannot change. A change of the password ends the new session as well.
    """
    now = clock.now()
    refresh_token = issuer.refresh_tokens.new()
    session = LiveSession(new_id(), issuer.expiry(now), SessionOwner(user.profile, now))
    # The insert below reads the user once more.
    keep = issuer.cache.begin_fill()
    values = {
        "id": session.id,
        "family": issuer.refresh_tokens.family(refresh_token),
        "refresh_token": digest(refresh_token),
        "created_at": now,
        "last_used_at": now,
        "expires_at": session.expires_at,
        "ip_address": address,
        "user_agent": user_agent,
    }
    read = {f"read_{column.name}": getattr(user, column.name) for column in sql.READ}
    read["read_unverified"] = user.email_verified_at is None
    others = max(issuer.max_sessions - 1 - _STARTING, 0)
    started = db.run(sql.START, values | read | {"others": others, "place": place}).first()
    if started is None:
        return None
    if started.may_exceed:
        end_least_recently_used(db, user.id, issuer.max_sessions - 1, besides=session.id)
    events.record(db, "session_issued", user_id=user.id, session_id=session.id)
    return Started(issuer.issue(db, session, refresh_token, keep), started.place_seen_at)


def refresh(db: Db, issuer: TokenIssuer, token: str, address: str, user_agent: str) -> TokenPair:
    """Return the next token pair of the session that `token` belongs to.

    During the grace period, a used token gets the valid one. Raises InvalidRefreshToken if the session is unknown or
    has ended. Raises RefreshTokenReused if the grace period is over, and ends the session.
    """
    keep = issuer.cache.begin_fill()
    # This query and the update in `_rotate` run outside of the request's transaction. On PostgreSQL, a refresh then
    # takes two round trips, not four.
    found = _first(db.read(sql.OF_FAMILY, _family(issuer, token)))
    expires_at = issuer.expiry(found.created_at)
    if expires_at <= clock.now():
        # The lifetime of sessions was shortened since, so the stored end is later.
        raise InvalidRefreshToken()
    use = {"of_session": found.id, "now": clock.now(), "until": expires_at, "address": address, "agent": user_agent}
    session = LiveSession(found.id, expires_at, _owner(found))
    refresh_token = _rotate(db, issuer, found, token, use) or _repeat(db, issuer, token, use)
    if refresh_token is None:
        _end_for_reuse(db, session)
    db.after_commit(partial(logs.event, "session_refreshed", user_id=found.user_id, session_id=session.id))
    return issuer.issue(db, session, refresh_token, keep)


def _family(issuer: TokenIssuer, token: str) -> dict[str, Any]:
    return {"family": issuer.refresh_tokens.family(token)}


def _find(db: Db, issuer: TokenIssuer, token: str) -> Any:
    """Return the row of the token's session. This takes no lock, because SQLite has a single one."""
    return _first(db.run(sql.OF_FAMILY, _family(issuer, token)).all())


def _first(rows: Sequence[Any]) -> Any:
    if not rows:
        raise InvalidRefreshToken()
    return rows[0]


def _rotate(db: Db, issuer: TokenIssuer, found: Any, token: str, use: dict[str, Any]) -> str | None:
    """Replace the refresh token of a session and return the new one.

    Return None if `token` is used or the session has ended.
    """
    if digest(token) != found.refresh_token:
        return None
    refresh_token = issuer.refresh_tokens.next(token)
    latest = [*_since(found.refreshes, use["now"] - issuer.refresh_grace), _milliseconds(use["now"])]
    rotation = {"used": found.refresh_token, "next": digest(refresh_token), "latest": latest}
    return refresh_token if db.run_alone(sql.ROTATE, use | rotation) else None


def _repeat(db: Db, issuer: TokenIssuer, token: str, use: dict[str, Any]) -> str | None:
    """Return the valid refresh token if `token` was used within the grace period, or None if it was used earlier.

    Raises InvalidRefreshToken if the session has ended.
    """
    # The update locks the session: other requests with its tokens wait for this transaction.
    if not db.run(sql.TOUCH, use).rowcount:
        raise InvalidRefreshToken()
    found, used_after = _find(db, issuer, token), _milliseconds(use["now"] - issuer.refresh_grace)
    # The newest refresh used the token before the valid one.
    for used_at in reversed(found.refreshes):
        token = issuer.refresh_tokens.next(token)
        if digest(token) == found.refresh_token and used_at > used_after:
            return token
    return None


def _since(refreshes: Sequence[int], moment: datetime) -> Sequence[int]:
    """Return the times without the oldest ones, whose grace period began before this moment, and only the latest."""
    over = _milliseconds(moment)
    # Only a prefix is dropped, because `_repeat` counts the refreshes. The clocks of hosts differ, so the times may not
    # ascend.
    first = next((place for place, used_at in enumerate(refreshes) if used_at > over), len(refreshes))
    return refreshes[max(first, len(refreshes) - _MOST_REFRESHES + 1) :]


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _end_for_reuse(db: Db, session: LiveSession) -> NoReturn:
    user_id = session.owner.user.id
    db.run(sql.END, {"of_user": user_id, "of_session": session.id})
    events.record(db, "refresh_token_reused", user_id=user_id, session_id=session.id)
    raise RefreshTokenReused()


def step_up(db: Db, user_id: UUID, session_id: UUID) -> None:
    """Note that the user of a session has just proved its identity. Raises InvalidToken if the session has ended."""
    if db.run(sql.STEP_UP, {"of_user": user_id, "of_session": session_id, "now": clock.now()}).rowcount == 0:
        raise InvalidToken()


def find_owner(db: Db, session_id: UUID) -> SessionOwner | None:
    """Return the user of a live session, or None."""
    row = db.run(sql.OWNER, {"of_session": session_id, "now": clock.now()}).first()
    return None if row is None else _owner(row)


def page(
    db: Db, cursors: CursorCodec, user_id: UUID, current: UUID, *, limit: int, cursor: str | None
) -> dict[str, Any]:
    """Return a page of a user's live sessions, newest first, starting after `cursor`. Raises InvalidCursor."""
    wanted = {"of_user": user_id, "current": current, "now": clock.now()}

    def read(before: UUID, most: int) -> Sequence[Any]:
        return db.run(sql.PAGE, wanted | {"before": before, "most": most}).all()

    items, following = paging.newest_first(cursors, Listing(_LISTING, user_id), limit, cursor, read)
    return {"items": items, "next_cursor": following}


def end(db: Db, user_id: UUID, session_id: UUID) -> None:
    """End the caller's session. Raises InvalidToken if another request has ended it."""
    if not _end_one(db, user_id, session_id):
        raise InvalidToken()


def end_with_token(db: Db, issuer: TokenIssuer, token: str) -> None:
    """End the session that a refresh token belongs to. Raises InvalidRefreshToken if it is unknown or has ended."""
    found = _find(db, issuer, token)
    if not _end_one(db, found.user_id, found.id):
        raise InvalidRefreshToken()


def owner_of_token(db: Db, issuer: TokenIssuer, token: str) -> tuple[UUID, UUID]:
    """Return the user and the session of a refresh token. Raises InvalidRefreshToken if it is unknown or has ended."""
    found = _find(db, issuer, token)
    return found.user_id, found.id


def revoke_token(db: Db, user_id: UUID, session_id: UUID) -> None:
    """End the session of a token, if it is live."""
    if db.run(sql.END, {"of_user": user_id, "of_session": session_id}).first() is not None:
        events.record(db, "token_revoked", user_id=user_id, session_id=session_id)


def revoke(db: Db, user_id: UUID, session_id: UUID) -> None:
    """End one session of a user. Raises NotFound for an unknown id and for another user's session."""
    if not _end_one(db, user_id, session_id):
        raise NotFound()


def revoke_others(db: Db, user_id: UUID, session_id: UUID) -> None:
    """End all sessions of a user except the caller's. Raises InvalidToken if another request has ended that one."""
    # On PostgreSQL, two sessions could otherwise end each other.
    db.run(sql.LOCK_USER, {"of_user": user_id})
    _end(db, sql.END_OTHERS, user_id, of_session=session_id)
    if find_owner(db, session_id) is None:
        raise InvalidToken()


def revoke_all(db: Db, user_id: UUID) -> None:
    """End all sessions of a user."""
    _end(db, sql.END_ALL, user_id)


def end_least_recently_used(db: Db, user_id: UUID, most: int, besides: UUID = _NO_SESSION) -> None:
    """End sessions of a user, at most 20, so that `most` remain besides this one."""
    _end(db, sql.END_EXCESS, user_id, besides=besides, kept=most, candidates=most + sql.ENDED_AT_ONCE)


def delete_expired(db: Db, most: int) -> int:
    """Delete up to `most` sessions that expired an hour ago, and return their number."""
    return sql.EXPIRED.delete(db, clock.now() - _PURGED_AFTER, most)


def _end_one(db: Db, user_id: UUID, session_id: UUID) -> bool:
    """End a session of a user. Return False if the session is unknown, has ended, or belongs to another user."""
    if db.run(sql.END, {"of_user": user_id, "of_session": session_id}).first() is None:
        return False
    events.record(db, "session_revoked", user_id=user_id, session_id=session_id)
    return True


def _end(db: Db, statement: Executable, user_id: UUID, **parameters: UUID | int) -> None:
    """End the sessions of a user that a statement deletes. They are one event, and a line of the log each."""
    ended = db.run(statement, {"of_user": user_id, **parameters}).scalars().all()
    if ended:
        events.add(db, "sessions_revoked", user_id=user_id, count=len(ended))
    for one in ended:
        db.after_commit(partial(logs.event, "session_revoked", user_id=user_id, session_id=one))


def _owner(row: Any) -> SessionOwner:
    return SessionOwner(profile_of(row.user_id, row.user_created_at, row), row.authenticated_at)
