"""From a credential to an Identity."""

from dataclasses import dataclass
from uuid import UUID

from starlette.concurrency import run_in_threadpool

from api import logs
from api.contract.secure import Identify
from api.database import Database
from api.errors import InvalidToken
from api.services import sessions
from api.tokens import Claims, Tokens


@dataclass(frozen=True)
class Identity:
    """Who is calling; `token_expires_at` is in seconds since 1970."""

    user_id: UUID
    session_id: UUID
    token_expires_at: int
    scopes: frozenset[str]


def bearer(database: Database, tokens: Tokens) -> Identify:
    """What the contract's scheme `bearer` asks: who holds this token? Raises InvalidToken if nobody does."""

    async def identify(token: str) -> Identity:
        claims = tokens.decode(token)
        # The event loop must not wait for the database.
        await run_in_threadpool(_require_live, database, claims)
        logs.note(user_id=str(claims.user_id))
        return Identity(claims.user_id, claims.session_id, claims.expires_at, claims.scopes)

    return identify


def _require_live(database: Database, claims: Claims) -> None:
    with database.transaction() as db:
        if not sessions.is_live(db, claims.user_id, claims.session_id):
            raise InvalidToken()
