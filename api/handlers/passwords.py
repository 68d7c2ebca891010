"""The user's password."""

from typing import Any

from api.database import Db
from api.hashing import Hasher
from api.security import Identity
from api.services import credentials


def change_password(db: Db, hasher: Hasher, identity: Identity, body: dict[str, Any]) -> None:
    credentials.change_password(
        db, hasher, identity.user_id, identity.session_id, body["current_password"], body["new_password"]
    )
