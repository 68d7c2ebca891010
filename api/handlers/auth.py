"""Sign-up, log-in, refresh and log-out."""

from typing import Any

from api.contract import Client, runs_in
from api.crypto.device_tokens import DeviceTokenCodec
from api.crypto.password_hasher import PasswordHasher
from api.services import credentials, sessions, users
from api.services.authentication import Identity
from api.services.token_issuer import TokenIssuer
from api.storage.database import Db


@runs_in("hashing")
def sign_up(db: Db, hasher: PasswordHasher, public_url: str, body: dict[str, Any]) -> tuple[object, dict[str, str]]:
    user = users.create(db, hasher, body["username"], body["email"], body["password"])
    return user, {"Location": f"{public_url}/api/v1/me"}


@runs_in("hashing")
def log_in(
    db: Db,
    hasher: PasswordHasher,
    issuer: TokenIssuer,
    devices: DeviceTokenCodec,
    client: Client,
    body: dict[str, Any],
) -> object:
    return credentials.log_in(db, hasher, issuer, devices, body["username"], body["password"], *client)


def refresh_tokens(db: Db, issuer: TokenIssuer, client: Client, body: dict[str, Any]) -> object:
    return sessions.refresh(db, issuer, body["refresh_token"], *client)


def log_out(db: Db, identity: Identity) -> None:
    sessions.end(db, identity.user_id, identity.session_id)
