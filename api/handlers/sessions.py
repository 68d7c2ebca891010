"""Where the user is logged in."""

from uuid import UUID

from api.cursors import Cursors
from api.database import Db
from api.security import Identity
from api.services import sessions


def list_sessions(db: Db, identity: Identity, cursors: Cursors, limit: int, cursor: str | None) -> object:
    return sessions.page(db, cursors, identity.user_id, identity.session_id, limit=limit, cursor=cursor)


def revoke_session(db: Db, identity: Identity, session_id: str) -> None:
    sessions.revoke(db, identity.user_id, UUID(session_id))


def revoke_other_sessions(db: Db, identity: Identity) -> None:
    sessions.revoke_others(db, identity.user_id, identity.session_id)
