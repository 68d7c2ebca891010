"""The accounts of other services."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from api.crypto.cursors import CursorCodec
from api.services import grants, roles, service_accounts
from api.services.api_keys import KeyRules
from api.services.authentication import Identity
from api.services.roles import Scopes
from api.storage.database import Db


def list_service_accounts(db: Db, identity: Identity, cursors: CursorCodec, limit: int, cursor: str | None) -> object:
    return service_accounts.page(db, cursors, identity.user_id, limit=limit, cursor=cursor)


def create_service_account(
    db: Db, identity: Identity, role_scopes: Scopes, key_rules: KeyRules, public_url: str, body: dict[str, Any]
) -> tuple[object, dict[str, str]]:
    grants.check(body["scopes"], identity.scopes)
    made = service_accounts.create(db, body["name"], body["scopes"], key_rules.prefix, created_by=identity.user_id)
    roles.must_still_hold(db, role_scopes, identity)
    return made, {"Location": f"{public_url}/api/v1/service-accounts/{made.client_id}"}


def get_service_account(db: Db, client_id: str) -> object:
    return service_accounts.get(db, UUID(client_id))


def rotate_service_secret(
    db: Db, identity: Identity, role_scopes: Scopes, key_rules: KeyRules, client_id: str, body: dict[str, Any]
) -> object:
    overlap = timedelta(seconds=body["overlap_seconds"])
    made = service_accounts.rotate(db, UUID(client_id), overlap, key_rules.prefix)
    roles.must_still_hold(db, role_scopes, identity)
    return made


def delete_service_account(db: Db, identity: Identity, role_scopes: Scopes, client_id: str) -> None:
    service_accounts.delete_account(db, UUID(client_id))
    roles.must_still_hold(db, role_scopes, identity)
