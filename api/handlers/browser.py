"""Log-in, refresh and log-out of single-page applications, with the refresh token in a cookie."""

from typing import Any

from api.contract import Client, runs_in
from api.crypto.password_hasher import PasswordHasher
from api.services import credentials, sessions
from api.services.authentication import CookieHolder
from api.services.front_ends import FrontEnds
from api.services.outbox import Outbox
from api.services.recognition import Recognition, Visitor
from api.services.token_issuer import TokenIssuer, TokenPair
from api.storage.database import Db


@runs_in("hashing")
def log_in_browser(
    db: Db,
    hasher: PasswordHasher,
    issuer: TokenIssuer,
    recognition: Recognition,
    reminders: Outbox | None,
    front_ends: FrontEnds,
    client: Client,
    origin: str | None,
    sec_fetch_site: str | None,
    body: dict[str, Any],
) -> tuple[object, dict[str, str]]:
    front_ends.check(origin, sec_fetch_site)
    visitor = Visitor(*client, body.get("device_token"))
    return _with_cookie(
        credentials.log_in(db, hasher, issuer, recognition, reminders, body["username"], body["password"], visitor)
    )


def refresh_browser(
    db: Db,
    issuer: TokenIssuer,
    front_ends: FrontEnds,
    client: Client,
    identity: CookieHolder,
    origin: str | None,
    sec_fetch_site: str | None,
) -> tuple[object, dict[str, str]]:
    front_ends.check(origin, sec_fetch_site)
    return _with_cookie(sessions.refresh(db, issuer, identity.refresh_token, *client))


def log_out_browser(
    db: Db,
    issuer: TokenIssuer,
    front_ends: FrontEnds,
    identity: CookieHolder,
    origin: str | None,
    sec_fetch_site: str | None,
) -> tuple[None, dict[str, str]]:
    front_ends.check(origin, sec_fetch_site)
    sessions.end_with_token(db, issuer, identity.refresh_token)
    return None, _cookie("", 0)


def _with_cookie(pair: TokenPair) -> tuple[object, dict[str, str]]:
    """Return the tokens, and the cookie with the refresh token, which the contract does not show in the body."""
    return pair, _cookie(pair.refresh_token, pair.refresh_expires_in)


def _cookie(value: str, max_age: int) -> dict[str, str]:
    # The prefix makes browsers refuse the cookie from any other host, also from a subdomain.
    attributes = f"Path=/; Max-Age={max_age}; Secure; HttpOnly; SameSite=Strict"
    return {"Set-Cookie": f"__Host-charter={value}; {attributes}"}
