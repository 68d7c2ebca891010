"""The mails of the outbox."""

from uuid import UUID

from api.crypto.cursors import CursorCodec
from api.services import outbox, roles
from api.services.authentication import Identity
from api.services.roles import Scopes
from api.storage.database import Db


def list_mails(
    db: Db, identity: Identity, cursors: CursorCodec, state: str | None, limit: int, cursor: str | None
) -> object:
    return outbox.page(db, cursors, identity.user_id, state, limit=limit, cursor=cursor)


def retry_mail(db: Db, identity: Identity, role_scopes: Scopes, mail_id: str) -> None:
    outbox.retry(db, UUID(mail_id))
    roles.must_still_hold(db, role_scopes, identity)
