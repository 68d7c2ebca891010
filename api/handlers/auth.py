"""Sign-up, log-in, step-up, refresh and log-out."""

from typing import Any

from api.contract import Client, runs_in
from api.crypto.one_time_codes import OneTimeCodes
from api.crypto.password_hasher import PasswordHasher
from api.crypto.place_digests import PlaceDigests
from api.services import credentials, sessions
from api.services import sign_up as signing_up
from api.services.authentication import Identity
from api.services.outbox import Outbox
from api.services.recognition import Recognition, Visitor
from api.services.token_issuer import TokenIssuer
from api.storage.database import Db


@runs_in("hashing")
def sign_up(
    db: Db,
    hasher: PasswordHasher,
    outbox: Outbox,
    places: PlaceDigests,
    client: Client,
    public_url: str,
    accept_language: str | None,
    body: dict[str, Any],
) -> tuple[object, dict[str, str]]:
    given = places.of(client.address), body["username"], body["email"], body["password"]
    user = signing_up.sign_up(db, hasher, outbox, *given, accept_language)
    return user, {"Location": f"{public_url}/api/v1/me"}


def request_sign_up(db: Db, outbox: Outbox, accept_language: str | None, body: dict[str, Any]) -> object:
    return signing_up.request(db, outbox, body["email"], accept_language)


@runs_in("hashing")
def complete_sign_up(
    db: Db,
    hasher: PasswordHasher,
    one_time_codes: OneTimeCodes,
    places: PlaceDigests,
    client: Client,
    public_url: str,
    body: dict[str, Any],
) -> tuple[object, dict[str, str]]:
    given = places.of(client.address), body["code"], body["username"], body["password"]
    user = signing_up.complete(db, hasher, one_time_codes, *given)
    return user, {"Location": f"{public_url}/api/v1/me"}


@runs_in("hashing")
def log_in(
    db: Db,
    hasher: PasswordHasher,
    issuer: TokenIssuer,
    recognition: Recognition,
    reminders: Outbox | None,
    client: Client,
    body: dict[str, Any],
) -> object:
    visitor = Visitor(*client, body.get("device_token"))
    return credentials.log_in(db, hasher, issuer, recognition, reminders, body["username"], body["password"], visitor)


@runs_in("hashing")
def step_up(db: Db, hasher: PasswordHasher, identity: Identity, body: dict[str, Any]) -> None:
    credentials.step_up(db, hasher, identity.user_id, identity.session_id, body["current_password"])


def refresh_tokens(db: Db, issuer: TokenIssuer, client: Client, body: dict[str, Any]) -> object:
    return sessions.refresh(db, issuer, body["refresh_token"], *client)


def log_out(db: Db, identity: Identity) -> None:
    sessions.end(db, identity.user_id, identity.session_id)
