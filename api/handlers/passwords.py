"""The password of the calling user, and its reset by mail."""

from typing import Any

from api.contract import Client, runs_in
from api.crypto.one_time_codes import OneTimeCodes
from api.crypto.password_hasher import PasswordHasher
from api.crypto.place_digests import PlaceDigests
from api.services import credentials, password_reset
from api.services.authentication import Identity
from api.services.outbox import Outbox
from api.storage.database import Db


@runs_in("hashing")
def change_password(
    db: Db,
    hasher: PasswordHasher,
    outbox: Outbox,
    identity: Identity,
    accept_language: str | None,
    body: dict[str, Any],
) -> None:
    passwords = body["current_password"], body["new_password"]
    credentials.change_password(db, hasher, outbox, identity.user_id, identity.session_id, *passwords, accept_language)


def request_password_reset(db: Db, outbox: Outbox, accept_language: str | None, body: dict[str, Any]) -> object:
    return password_reset.request(db, outbox, body["email"], accept_language)


@runs_in("hashing")
def reset_password(
    db: Db,
    hasher: PasswordHasher,
    one_time_codes: OneTimeCodes,
    outbox: Outbox,
    places: PlaceDigests,
    client: Client,
    accept_language: str | None,
    body: dict[str, Any],
) -> None:
    place, words = places.of(client.address), (body["code"], body["new_password"])
    password_reset.reset(db, hasher, one_time_codes, outbox, place, *words, accept_language)
