"""The audit log, and the part of it about the calling user."""

from datetime import datetime
from uuid import UUID

from api.crypto.cursors import CursorCodec
from api.services import events
from api.services.authentication import Identity
from api.storage.database import Db


def list_events(
    db: Db,
    identity: Identity,
    cursors: CursorCodec,
    user_id: UUID | None,
    event: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    cursor: str | None,
) -> object:
    filters = events.Filters(user_id, event, since, until)
    return events.page(db, cursors, identity.user_id, filters, limit=limit, cursor=cursor)


def list_own_events(db: Db, identity: Identity, cursors: CursorCodec, limit: int, cursor: str | None) -> object:
    return events.own_page(db, cursors, identity.user_id, limit=limit, cursor=cursor)
