"""Sessions: issued at log-in, revoked one by one or all at once; an ended session is a row less."""

from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.sql.elements import ColumnElement

from api import clock, logs
from api.cursors import Cursors
from api.database import Db, after_commit, new_id
from api.errors import InvalidToken, NotFound
from api.models import RefreshToken, Session, User
from api.models.user import Profile
from api.refresh_tokens import digest
from api.services.token_pairs import Mint, TokenPair

_LISTING = "sessions"
_PURGED_AT_ONCE = 100


def issue(db: Db, mint: Mint, user_id: UUID, address: str, user_agent: str) -> TokenPair:
    """Start a session for a user, and forget some that have expired."""
    _purge(db)
    now = clock.now()
    refresh_token = mint.refresh_tokens.new()
    session = Session(
        id=new_id(),
        user_id=user_id,
        family=mint.refresh_tokens.family(refresh_token),
        created_at=now,
        last_used_at=now,
        expires_at=mint.expiry(now),
        ip_address=address,
        user_agent=user_agent,
    )
    db.add(session)
    db.flush()
    db.add(RefreshToken(digest=digest(refresh_token), session_id=session.id))
    after_commit(db, partial(logs.event, "session_issued", user_id=user_id, session_id=session.id))
    return mint.pair(db, session, refresh_token)


def find_owner(db: Db, session_id: UUID) -> Profile | None:
    """Whose live session it is, or nobody's."""
    query = select(User).join(Session, Session.user_id == User.id).where(Session.id == session_id, _is_live())
    user = db.scalar(query.where(User.disabled_at.is_(None)))
    return None if user is None else user.profile


def page(db: Db, cursors: Cursors, user_id: UUID, current: UUID, *, limit: int, cursor: str | None) -> dict[str, Any]:
    """A user's live sessions, the newest first, from behind `cursor`; raises InvalidCursor."""
    query = select(*_SHOWN, (Session.id == current).label("current")).where(Session.user_id == user_id, _is_live())
    if cursor is not None:
        query = query.where(Session.id < cursors.read(_LISTING, user_id, cursor))
    # One more tells whether there is a page after this one.
    rows = db.execute(query.order_by(Session.id.desc()).limit(limit + 1)).all()
    items = rows[:limit]
    more = len(rows) > limit
    return {"items": items, "next_cursor": cursors.make(_LISTING, user_id, items[-1].id) if more else None}


def end(db: Db, user_id: UUID, session_id: UUID) -> None:
    """End the session that asks; raises InvalidToken if somebody was faster."""
    if not _end(db, user_id, Session.id == session_id):
        raise InvalidToken()


def revoke(db: Db, user_id: UUID, session_id: UUID) -> None:
    """End one session of a user; raises NotFound for an unknown id and another user's session alike."""
    if not _end(db, user_id, Session.id == session_id):
        raise NotFound()


def revoke_others(db: Db, user_id: UUID, session_id: UUID) -> None:
    """End all sessions of a user but the one that asks; raises InvalidToken if somebody was faster to end that."""
    _end(db, user_id, Session.id != session_id)
    if find_owner(db, session_id) is None:
        raise InvalidToken()


def revoke_all(db: Db, user_id: UUID) -> None:
    """End all sessions of a user."""
    _end(db, user_id, Session.user_id == user_id)


def _end(db: Db, user_id: UUID, which: ColumnElement[bool]) -> list[UUID]:
    ended = list(db.scalars(delete(Session).where(Session.user_id == user_id, which).returning(Session.id)))
    for session_id in ended:
        after_commit(db, partial(logs.event, "session_revoked", user_id=user_id, session_id=session_id))
    return ended


def _purge(db: Db) -> None:
    """Delete some expired sessions, and their refresh tokens with them, but none that somebody else is deleting."""
    expired = select(Session.id).where(Session.expires_at <= clock.now()).limit(_PURGED_AT_ONCE)
    db.execute(delete(Session).where(Session.id.in_(expired.with_for_update(skip_locked=True))))


def _is_live() -> ColumnElement[bool]:
    return Session.expires_at > clock.now()


_SHOWN = (
    Session.id,
    Session.created_at,
    Session.last_used_at,
    Session.expires_at,
    Session.ip_address,
    Session.user_agent,
)
