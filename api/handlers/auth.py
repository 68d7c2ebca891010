"""From a stranger to an access token, and back."""

from typing import Any

from api.database import Db
from api.hashing import Hasher
from api.security import Identity
from api.services import sessions, users
from api.tokens import Tokens


def sign_up(db: Db, hasher: Hasher, body: dict[str, Any]) -> tuple[object, dict[str, str]]:
    user = users.create(db, hasher, body["username"], body["email"], body["password"])
    return user, {"Location": "/api/v1/me"}


def log_in(db: Db, hasher: Hasher, tokens: Tokens, user_scopes: frozenset[str], body: dict[str, Any]) -> object:
    return sessions.issue(db, hasher, tokens, body["username"], body["password"], scopes=user_scopes)


def log_out(db: Db, identity: Identity) -> None:
    sessions.revoke(db, identity.user_id, identity.session_id, identity.token_expires_at)
