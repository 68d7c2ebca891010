"""Token pairs: what a session is given at log-in, and at each refresh in exchange for its refresh token."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import NoReturn

from sqlalchemy import delete, insert, select, update

from api import clock, logs
from api.database import Db, after_commit
from api.errors import InvalidRefreshToken, RefreshTokenReused
from api.memory import Memory
from api.models import RefreshToken, Session, User
from api.refresh_tokens import RefreshTokens, digest
from api.services.signing_keys import Keyring
from api.tokens import Tokens


@dataclass(frozen=True)
class TokenPair:
    """The answer to a log-in (RFC 6749, section 5.1); both times are in seconds from now."""

    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    scope: str
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme


@dataclass(frozen=True)
class Mint:
    """Issues token pairs, good for `scopes`; a session ends when it was idle, or has lived, for too long."""

    tokens: Tokens
    keyring: Keyring
    refresh_tokens: RefreshTokens
    memory: Memory
    scopes: frozenset[str]
    idle: timedelta
    absolute: timedelta

    def expiry(self, created_at: datetime) -> datetime:
        """When a session ends that is used now, and not again."""
        return min(clock.now() + self.idle, created_at + self.absolute)

    def pair(self, db: Db, session: Session, refresh_token: str) -> TokenPair:
        """An access token for a session, beside the refresh token that it goes on with."""
        key = self.keyring.signing(db)
        scope = " ".join(sorted(self.scopes))
        self._remember(db, session)
        return TokenPair(
            access_token=self.tokens.encode(key, session.user_id, session.id, scope, session.expires_at),
            expires_in=self.tokens.seconds_until(session.expires_at),
            refresh_token=refresh_token,
            refresh_expires_in=max(1, round((session.expires_at - clock.now()).total_seconds())),
            scope=scope,
        )

    def _remember(self, db: Db, session: Session) -> None:
        """Spare the first request of a session its question to the database, which is being asked here already."""
        keep = self.memory.offer("sessions", session.id.hex)
        # What was read of the user before may have changed since.
        user = db.get_one(User, session.user_id, populate_existing=True)
        if user.disabled_at is None:
            after_commit(db, partial(keep, user.profile))


GRACE = timedelta(seconds=10)
"""How long after its use a token may come once more, from a client that did not get the answer."""


def rotate(db: Db, mint: Mint, token: str, address: str, user_agent: str) -> TokenPair:
    """The next tokens of the session that goes on with `token`; within the grace, the same to everybody who asks.

    Raises InvalidRefreshToken, or RefreshTokenReused, by which the session is over.
    """
    session = _use(db, mint, token, address, user_agent)
    if _is_first_use(db, token):
        goes_on = _replace(db, mint, session, token)
    elif _was_used_lately(db, token):
        goes_on = _newest(db, mint, session, token)
    else:
        _end_for_reuse(db, session)
    after_commit(db, partial(logs.event, "session_refreshed", user_id=session.user_id, session_id=session.id))
    return mint.pair(db, session, goes_on)


def _use(db: Db, mint: Mint, token: str, address: str, user_agent: str) -> Session:
    """The session of the token's family; whoever else comes with a token of it waits until this transaction ends."""
    # What anybody can make up takes no lock: SQLite has but one, and who waits for it holds up others.
    family = mint.refresh_tokens.family(token)
    known = db.execute(select(Session.id, Session.created_at).where(Session.family == family)).first()
    if known is None:
        raise InvalidRefreshToken()
    now = clock.now()
    # Whoever puts users out by hand may forget their sessions.
    welcome = select(User.id).where(User.disabled_at.is_(None))
    used = update(Session).where(Session.id == known.id, Session.expires_at > now, Session.user_id.in_(welcome))
    expiry = mint.expiry(known.created_at)
    used = used.values(last_used_at=now, expires_at=expiry, ip_address=address, user_agent=user_agent)
    session: Session | None = db.scalar(used.returning(Session))
    if session is None:
        raise InvalidRefreshToken()
    return session


def _end_for_reuse(db: Db, session: Session) -> NoReturn:
    db.delete(session)
    after_commit(db, partial(logs.event, "refresh_token_reused", user_id=session.user_id, session_id=session.id))
    raise RefreshTokenReused()


def _is_first_use(db: Db, token: str) -> bool:
    """Whether the session goes on with this token; from now on it was used."""
    unused = update(RefreshToken).where(RefreshToken.digest == digest(token), RefreshToken.used_at.is_(None))
    return db.scalar(unused.values(used_at=clock.now()).returning(RefreshToken.digest)) is not None


def _was_used_lately(db: Db, token: str) -> bool:
    lately = RefreshToken.used_at > clock.now() - GRACE
    return db.scalar(select(RefreshToken.digest).where(RefreshToken.digest == digest(token), lately)) is not None


def _replace(db: Db, mint: Mint, session: Session, token: str) -> str:
    """The successor, in the place of the token; of whose grace is over, the family alone is known from now on."""
    of_session = RefreshToken.session_id == session.id
    db.execute(delete(RefreshToken).where(of_session, RefreshToken.used_at < clock.now() - GRACE))
    successor = mint.refresh_tokens.next(token)
    db.execute(insert(RefreshToken).values(digest=digest(successor), session_id=session.id))
    return successor


def _newest(db: Db, mint: Mint, session: Session, token: str) -> str:
    """The token that the session goes on with, behind one that was used lately."""
    # Those between the two may be purged already: another host's clock says when each was used.
    goes_on = select(RefreshToken.digest).where(RefreshToken.session_id == session.id, RefreshToken.used_at.is_(None))
    newest = db.scalars(goes_on).one()
    while digest(token) != newest:
        token = mint.refresh_tokens.next(token)
    return token
