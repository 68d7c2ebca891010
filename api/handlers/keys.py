"""The API keys of the calling user."""

from typing import Any
from uuid import UUID

from api.crypto.cursors import CursorCodec
from api.services import api_keys
from api.services.api_keys import KeyRules
from api.services.authentication import Identity
from api.services.outbox import Outbox
from api.storage.database import Db


def create_api_key(
    db: Db,
    outbox: Outbox,
    key_rules: KeyRules,
    public_url: str,
    identity: Identity,
    accept_language: str | None,
    body: dict[str, Any],
) -> tuple[object, dict[str, str]]:
    caller = identity.user, identity.session_id, identity.scopes
    key = api_keys.create(db, outbox, key_rules, *caller, body, accept_language)
    return key, {"Location": f"{public_url}/api/v1/keys/{key['id']}"}


def list_api_keys(db: Db, identity: Identity, cursors: CursorCodec, limit: int, cursor: str | None) -> object:
    return api_keys.page(db, cursors, identity.user_id, limit=limit, cursor=cursor)


def get_api_key(db: Db, identity: Identity, key_id: str) -> object:
    return api_keys.get(db, identity.user_id, UUID(key_id))


def update_api_key(db: Db, identity: Identity, key_id: str, body: dict[str, Any]) -> object:
    return api_keys.change(db, identity.user_id, UUID(key_id), body)


def revoke_api_key(db: Db, identity: Identity, key_id: str) -> None:
    api_keys.revoke(db, identity.user_id, UUID(key_id))
