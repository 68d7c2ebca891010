"""Sessions: issued at log-in, revoked at log-out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from sqlalchemy import delete, exists, select
from sqlalchemy.exc import IntegrityError

from api import clock, logs
from api.database import Db, after_commit, new_id
from api.errors import InvalidCredentials, InvalidToken
from api.hashing import Hasher
from api.models import Revocation, User
from api.services import users
from api.tokens import LEEWAY_SECONDS, Tokens


@dataclass(frozen=True)
class AccessToken:
    """The answer to a log-in (RFC 6749, section 5.1); `expires_in` is in seconds."""

    access_token: str
    expires_in: int
    scope: str
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme


def issue(db: Db, hasher: Hasher, tokens: Tokens, name: str, password: str, *, scopes: Iterable[str]) -> AccessToken:
    """Start a session, good for these scopes, for the user with this name, or email, and password."""
    user = users.find_by_name(db, name)
    # Unknown users cost a hash as well: the time tells no more than the answer.
    if not hasher.check(password, user.password_hash if user else None) or user is None:
        logs.event("log_in_failed", user_id=user.id if user else None)
        raise InvalidCredentials()
    if hasher.is_stale(user.password_hash):
        user.password_hash = hasher.hash(password)
    session_id = new_id()
    after_commit(db, partial(logs.event, "session_issued", user_id=user.id, session_id=session_id))
    scope = " ".join(sorted(scopes))
    return AccessToken(tokens.encode(user.id, session_id, scope), tokens.lifetime, scope)


def revoke(db: Db, user_id: UUID, session_id: UUID, expires_at: int) -> None:
    """End a session before its tokens expire (`expires_at`, in seconds since 1970), and forget what has expired."""
    # A token is taken for some seconds after it expired, for the sake of clocks that differ.
    refused_until = datetime.fromtimestamp(expires_at + LEEWAY_SECONDS, UTC)
    db.execute(delete(Revocation).where(Revocation.expires_at < clock.now()))
    db.add(Revocation(session_id=session_id, expires_at=refused_until))
    try:
        db.flush()
    except IntegrityError:
        raise InvalidToken() from None
    after_commit(db, partial(logs.event, "session_revoked", user_id=user_id, session_id=session_id))


def is_live(db: Db, user_id: UUID, session_id: UUID) -> bool:
    """Whether the user still exists and the session was not revoked."""
    revoked = exists().where(Revocation.session_id == session_id)
    return db.scalar(select(User.id).where(User.id == user_id, ~revoked)) is not None
