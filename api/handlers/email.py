"""The email of a user: its verification and its change."""

from typing import Any

from api.contract import runs_in
from api.crypto.one_time_codes import OneTimeCodes
from api.crypto.password_hasher import PasswordHasher
from api.services import email_change, email_verification
from api.services.authentication import Identity
from api.services.outbox import Outbox
from api.storage.database import Db


def request_email_verification(db: Db, outbox: Outbox, identity: Identity, accept_language: str | None) -> object:
    return email_verification.request(db, outbox, identity.user_id, accept_language)


def verify_email(db: Db, one_time_codes: OneTimeCodes, body: dict[str, Any]) -> None:
    email_verification.verify(db, one_time_codes, body["code"])


@runs_in("hashing")
def request_email_change(
    db: Db,
    hasher: PasswordHasher,
    one_time_codes: OneTimeCodes,
    outbox: Outbox,
    identity: Identity,
    accept_language: str | None,
    body: dict[str, Any],
) -> object:
    given = body["email"], body["current_password"]
    return email_change.request(db, hasher, one_time_codes, outbox, identity.user_id, *given, accept_language)


def cancel_email_change(db: Db, identity: Identity) -> None:
    email_change.cancel(db, identity.user_id)


def confirm_email_change(
    db: Db, one_time_codes: OneTimeCodes, outbox: Outbox, accept_language: str | None, body: dict[str, Any]
) -> None:
    email_change.confirm(db, one_time_codes, outbox, body["code"], accept_language)


def revert_email_change(
    db: Db, one_time_codes: OneTimeCodes, outbox: Outbox, accept_language: str | None, body: dict[str, Any]
) -> None:
    email_change.revert(db, one_time_codes, outbox, body["code"], accept_language)
