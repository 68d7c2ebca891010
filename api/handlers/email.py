"""The email of the calling user, and its verification."""

from typing import Any

from api.crypto.one_time_codes import OneTimeCodes
from api.services import email_verification
from api.services.authentication import Identity
from api.services.outbox import Outbox
from api.storage.database import Db


def request_email_verification(db: Db, outbox: Outbox, identity: Identity, accept_language: str | None) -> object:
    return email_verification.request(db, outbox, identity.user_id, accept_language)


def verify_email(db: Db, one_time_codes: OneTimeCodes, body: dict[str, Any]) -> None:
    email_verification.verify(db, one_time_codes, body["code"])
