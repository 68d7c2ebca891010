"""Sessions: start, refresh, list and end. A session that has ended has no row."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NoReturn
from uuid import UUID

from sqlalchemy import Executable

from api import clock, logs
from api.crypto.cursors import CursorCodec
from api.crypto.refresh_tokens import digest
from api.errors import InvalidRefreshToken, InvalidToken, NotFound, RefreshTokenReused
from api.models.user import Profile, UserRow
from api.services import session_statements as sql
from api.services.token_issuer import LiveSession, TokenIssuer, TokenPair
from api.storage.database import Db, new_id

REUSE_GRACE = timedelta(seconds=10)
"""How long a used refresh token still works, for a client that did not receive the response."""

_LISTING = "sessions"
# An id of a UUIDv7 is lower.
_NEWEST = UUID(int=2**128 - 1)
# By then the trigger `sessions_delete` no longer reports the deletion to other processes.
_PURGED_AFTER = timedelta(hours=1)


def start(db: Db, issuer: TokenIssuer, user: UserRow, address: str, user_agent: str) -> TokenPair | None:
    """Start a session for a user, or return None if the user was changed or disabled after `user` was read.

    Until the transaction ends, the user cannot change. A change of the password ends the new session as well.
    """
    now = clock.now()
    refresh_token = issuer.refresh_tokens.new()
    session = LiveSession(new_id(), issuer.expiry(now), user.profile)
    # The insert below reads the user once more.
    keep = issuer.cache.begin_fill()
    values = {
        "id": session.id,
        "family": issuer.refresh_tokens.family(refresh_token),
        "created_at": now,
        "last_used_at": now,
        "expires_at": session.expires_at,
        "ip_address": address,
        "user_agent": user_agent,
    }
    read = {f"read_{column.name}": getattr(user, column.name) for column in sql.READ}
    if not db.run(sql.START, values | read).rowcount:
        return None
    db.run(sql.ADD_TOKEN, {"digest": digest(refresh_token), "session_id": session.id})
    db.after_commit(partial(logs.event, "session_issued", user_id=user.id, session_id=session.id))
    return issuer.issue(db, session, refresh_token, keep)


def refresh(db: Db, issuer: TokenIssuer, token: str, address: str, user_agent: str) -> TokenPair:
    """Return the next token pair of the session that `token` belongs to.

    All requests with one token get the same refresh token during the grace period. Raises InvalidRefreshToken if the
    session is unknown or has ended. Raises RefreshTokenReused if the grace period is over, and ends the session.
    """
    keep = issuer.cache.begin_fill()
    session = _touch(db, issuer, token, address, user_agent)
    now, used = clock.now(), digest(token)
    if db.run(sql.MARK_USED, {"of_digest": used, "now": now}).rowcount:
        refresh_token = issuer.refresh_tokens.next(token)
        db.run(sql.ADD_TOKEN, {"digest": digest(refresh_token), "session_id": session.id})
    elif db.run(sql.WAS_USED_LATELY, {"of_digest": used, "after": now - REUSE_GRACE}).first():
        refresh_token = _current_token(db, issuer, session.id, token)
    else:
        _end_for_reuse(db, session)
    db.after_commit(partial(logs.event, "session_refreshed", user_id=session.user.id, session_id=session.id))
    return issuer.issue(db, session, refresh_token, keep)


def _touch(db: Db, issuer: TokenIssuer, token: str, address: str, user_agent: str) -> LiveSession:
    """Return the token's session and lock it: other requests with a token of this session wait for this transaction."""
    # A made-up token takes no lock: SQLite has a single one.
    row = db.run(sql.OF_FAMILY, {"family": issuer.refresh_tokens.family(token)}).first()
    if row is None:
        raise InvalidRefreshToken()
    expires_at = issuer.expiry(row.created_at)
    used = {"now": clock.now(), "until": expires_at, "address": address, "agent": user_agent}
    if not db.run(sql.TOUCH, {"of_session": row.id, **used}).rowcount:
        raise InvalidRefreshToken()
    return LiveSession(row.id, expires_at, _profile(row))


def _current_token(db: Db, issuer: TokenIssuer, session_id: UUID, token: str) -> str:
    """Return the unused token of a session, which follows the used `token`."""
    # The tokens in between may be deleted already: the clock of another host decides when each was used.
    current = db.run(sql.UNUSED, {"of_session": session_id}).scalar_one()
    while digest(token) != current:
        token = issuer.refresh_tokens.next(token)
    return token


def _end_for_reuse(db: Db, session: LiveSession) -> NoReturn:
    db.run(sql.END, {"of_user": session.user.id, "of_session": session.id})
    db.after_commit(partial(logs.event, "refresh_token_reused", user_id=session.user.id, session_id=session.id))
    raise RefreshTokenReused()


def find_user(db: Db, session_id: UUID) -> Profile | None:
    """Return the user of a live session, or None."""
    row = db.run(sql.OWNER, {"of_session": session_id, "now": clock.now()}).first()
    return None if row is None else _profile(row)


def page(
    db: Db, cursors: CursorCodec, user_id: UUID, current: UUID, *, limit: int, cursor: str | None
) -> dict[str, Any]:
    """Return a page of a user's live sessions, newest first, starting after `cursor`. Raises InvalidCursor."""
    before = _NEWEST if cursor is None else cursors.read(_LISTING, user_id, cursor)
    # One row more shows whether there is a next page.
    wanted = {"of_user": user_id, "current": current, "before": before, "now": clock.now(), "most": limit + 1}
    rows = db.run(sql.PAGE, wanted).all()
    items = rows[:limit]
    more = len(rows) > limit
    return {"items": items, "next_cursor": cursors.make(_LISTING, user_id, items[-1].id) if more else None}


def end(db: Db, user_id: UUID, session_id: UUID) -> None:
    """End the caller's session. Raises InvalidToken if another request has ended it."""
    if not _end(db, sql.END, user_id, session_id):
        raise InvalidToken()


def revoke(db: Db, user_id: UUID, session_id: UUID) -> None:
    """End one session of a user. Raises NotFound for an unknown id and for another user's session."""
    if not _end(db, sql.END, user_id, session_id):
        raise NotFound()


def revoke_others(db: Db, user_id: UUID, session_id: UUID) -> None:
    """End all sessions of a user except the caller's. Raises InvalidToken if another request has ended that one."""
    _end(db, sql.END_OTHERS, user_id, session_id)
    if find_user(db, session_id) is None:
        raise InvalidToken()


def revoke_all(db: Db, user_id: UUID) -> None:
    """End all sessions of a user."""
    _end(db, sql.END_ALL, user_id)


def delete_expired(db: Db, most: int) -> int:
    """Delete up to `most` sessions that expired an hour ago, with their refresh tokens, and return their number."""
    return _delete_expired(db, sql.EXPIRED, sql.DELETE_EXPIRED, clock.now() - _PURGED_AFTER, most)


def delete_used_tokens(db: Db, most: int) -> int:
    """Delete up to `most` refresh tokens whose grace period is over, and return their number.

    A deleted token is still recognized as used, because the session stores the digest of its family.
    """
    return _delete_expired(db, sql.USED, sql.DELETE_USED, clock.now() - REUSE_GRACE, most)


def _delete_expired(db: Db, find: Executable, delete: Executable, before: datetime, most: int) -> int:
    # The read takes no lock if there is nothing to delete.
    found = db.run(find, {"before": before, "most": most}).scalars().all()
    if found:
        db.run(delete, {"found": found, "before": before})
    return len(found)


def _end(db: Db, statement: Executable, user_id: UUID, session_id: UUID | None = None) -> Sequence[UUID]:
    ended = db.run(statement, {"of_user": user_id, "of_session": session_id}).scalars().all()
    for one in ended:
        db.after_commit(partial(logs.event, "session_revoked", user_id=user_id, session_id=one))
    return ended


def _profile(row: Any) -> Profile:
    return Profile(row.user_id, row.username, row.email, row.user_created_at)
