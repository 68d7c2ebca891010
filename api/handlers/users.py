"""The administration of users."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from api.crypto.cursors import CursorCodec
from api.services import deletion, events, grants, password_reset, roles, sign_up, user_creation, user_search, users
from api.services.authentication import Identity
from api.services.outbox import Outbox
from api.services.roles import Scopes
from api.services.user_budgets import UserBudgets
from api.services.user_search import Filters
from api.storage.database import Db


def list_users(
    db: Db,
    identity: Identity,
    cursors: CursorCodec,
    search: str | None,
    role: str | None,
    state: str | None,
    limit: int,
    cursor: str | None,
) -> object:
    filters = Filters(role, state)
    return user_search.page(db, cursors, identity.user_id, search, filters, limit=limit, cursor=cursor)


def get_user(db: Db, user_id: str) -> object:
    return user_search.find(db, UUID(user_id))


def create_user(
    db: Db, outbox: Outbox, role_scopes: Scopes, identity: Identity, public_url: str, body: dict[str, Any]
) -> tuple[object, dict[str, str]]:
    role, locale = body.get("role", roles.DEFAULT), body.get("locale")
    roles.must_hold(role_scopes, identity.scopes, role)
    user = user_creation.create(db, outbox, body["username"], body["email"], role, locale)
    roles.must_still_hold(db, role_scopes, identity)
    return user_search.find(db, user.id), {"Location": f"{public_url}/api/v1/users/{user.id}"}


def invite_user(db: Db, outbox: Outbox, role_scopes: Scopes, identity: Identity, body: dict[str, Any]) -> object:
    sent = sign_up.invite(db, outbox, body["email"], body.get("locale"))
    roles.must_still_hold(db, role_scopes, identity)
    return sent


def change_role(db: Db, role_scopes: Scopes, identity: Identity, user_id: str, body: dict[str, Any]) -> None:
    roles.must_be_another(identity.user_id, UUID(user_id))
    with grants.rights_over(db, role_scopes, identity, UUID(user_id), body["role"]):
        roles.change(db, UUID(user_id), body["role"])


def disable_user(db: Db, role_scopes: Scopes, identity: Identity, user_id: str) -> None:
    roles.must_be_another(identity.user_id, UUID(user_id))
    with grants.rights_over(db, role_scopes, identity, UUID(user_id)):
        users.disable(db, UUID(user_id))


def enable_user(db: Db, role_scopes: Scopes, identity: Identity, user_id: str) -> None:
    with grants.rights_over(db, role_scopes, identity, UUID(user_id)):
        users.enable(db, UUID(user_id))


def log_user_out(db: Db, role_scopes: Scopes, identity: Identity, user_id: str) -> None:
    grants.log_out(db, role_scopes, identity, UUID(user_id))


def send_password_reset(db: Db, outbox: Outbox, role_scopes: Scopes, identity: Identity, user_id: str) -> object:
    with grants.rights_over(db, role_scopes, identity, UUID(user_id)) as user:
        return password_reset.send(db, outbox, user)


def reset_limits(db: Db, user_budgets: UserBudgets, role_scopes: Scopes, identity: Identity, user_id: str) -> None:
    with grants.rights_over(db, role_scopes, identity, UUID(user_id)) as user:
        events.record(db, "limits_reset", user_id=user.id)
    # No rollback undoes this, so it follows the last check of the caller.
    user_budgets.clear(user)


def delete_user(
    db: Db, outbox: Outbox, role_scopes: Scopes, name_stay: timedelta, identity: Identity, user_id: str
) -> None:
    roles.must_be_another(identity.user_id, UUID(user_id))
    with grants.rights_over(db, role_scopes, identity, UUID(user_id)):
        deletion.delete_now(db, outbox, name_stay, UUID(user_id))
