"""The password of the calling user."""

from typing import Any

from api.contract import runs_in
from api.crypto.password_hasher import PasswordHasher
from api.services import credentials
from api.services.authentication import Identity
from api.storage.database import Db


@runs_in("hashing")
def change_password(db: Db, hasher: PasswordHasher, identity: Identity, body: dict[str, Any]) -> None:
    credentials.change_password(
        db, hasher, identity.user_id, identity.session_id, body["current_password"], body["new_password"]
    )
