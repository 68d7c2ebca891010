"""The deletion of the calling user's account, and its restoration."""

from typing import Any

from api.contract import runs_in
from api.crypto.one_time_codes import OneTimeCodes
from api.crypto.password_hasher import PasswordHasher
from api.services import deletion
from api.services.authentication import Identity
from api.services.deletion import DeletionRules
from api.services.outbox import Outbox
from api.storage.database import Db


@runs_in("hashing")
def request_deletion(
    db: Db,
    hasher: PasswordHasher,
    outbox: Outbox,
    deletion_rules: DeletionRules,
    identity: Identity,
    accept_language: str | None,
    body: dict[str, Any],
) -> object:
    password = body["current_password"]
    return deletion.request(db, hasher, outbox, deletion_rules, identity.user_id, password, accept_language)


def restore_account(db: Db, one_time_codes: OneTimeCodes, body: dict[str, Any]) -> None:
    deletion.restore(db, one_time_codes, body["code"])
