"""The sessions of the calling user."""

from uuid import UUID

from api.crypto.cursors import CursorCodec
from api.services import sessions
from api.services.authentication import Identity
from api.storage.database import Db


def list_sessions(db: Db, identity: Identity, cursors: CursorCodec, limit: int, cursor: str | None) -> object:
    return sessions.page(db, cursors, identity.user_id, identity.session_id, limit=limit, cursor=cursor)


def revoke_session(db: Db, identity: Identity, session_id: str) -> None:
    sessions.revoke(db, identity.user_id, UUID(session_id))


def revoke_other_sessions(db: Db, identity: Identity) -> None:
    sessions.revoke_others(db, identity.user_id, identity.session_id)
