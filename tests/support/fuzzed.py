"""The state of a fuzzed server as a run of Schemathesis knows it: sessions, tokens and cursors."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import jwt
from schemathesis import Case, Response

from api.services import names
from tests.support.patience import PATIENCE_SECONDS
from tests.support.service_accounts import SERVICE_SCOPES, basic_of

TAKEN: set[str] = set()
"""The usernames and emails of all accounts."""


class Session(NamedTuple):
    """The session of a log-in, and the name that was used for it."""

    id: str
    user_id: str
    name: str


HELD: dict[str, Session] = {}
"""The session of each token. An access token is stored as the `Authorization` header that a link builds from it."""

ENDED: set[str] = set()
"""The ids of the ended sessions."""

CURSORS: dict[tuple[str, str], str] = {}
"""The user id that each cursor of an operation belongs to."""

DEFAULT_USER: dict[str, str] = {}
"""The user for operations that no link leads to. It is fixed, so that a run can be repeated."""

ISSUERS: list[Callable[[str, str], str]] = []
"""A function that returns a code that an operation accepts from a user. Without one, every code is wrong."""

PROMOTERS: list[Callable[[str], None]] = []
"""A function that makes the user with this username an admin. Without one, all users have the role `user`."""

DEAD_MAILS: list[Callable[[], str]] = []
"""A function that adds a dead mail and returns its id. Without one, no mail can be sent again."""

ADMIN: dict[str, str] = {}
"""The user for the operations of admins. No operation changes it, so it stays an admin."""

CREATED: set[str] = set()
"""The ids of the users without sessions, whom each operation may change."""
SERVICE: dict[str, str] = {}
"""The credentials of the service account for the operations of services."""

SPARE: list[str] = []
"""An `Authorization` header of this user that works or once worked."""


def forget() -> None:
    """Forget the previous run, which had another server."""
    for memory in (TAKEN, HELD, ENDED, CURSORS, DEFAULT_USER, ADMIN, CREATED, SERVICE, SPARE):
        memory.clear()


def record_tokens(response: Response | httpx.Response, name: str) -> str:
    """Record the owner of the tokens in a response, and return the header for the access token."""
    pair = response.json()
    header = f"Bearer {pair['access_token']}"
    claims = jwt.decode(pair["access_token"], options={"verify_signature": False})
    HELD[header] = HELD[pair["refresh_token"]] = Session(claims["sid"], claims["sub"], name)
    return header


def rename(session: Session | None, name: str) -> None:
    """Record the new username of the user of a session. The former one stays reserved, so it stays in use."""
    TAKEN.add(names.login_key(name))
    if session is None:
        return
    if session.name == DEFAULT_USER.get("username"):
        DEFAULT_USER["username"] = name
    for token, each in HELD.items():
        if each.user_id == session.user_id:
            HELD[token] = each._replace(name=name)


def session_of(case: Case[Any], response: Response) -> Session | None:
    """Return the session of the refresh token in a request body, or of the access token in its header."""
    if isinstance(case.body, dict) and "refresh_token" in case.body:
        return HELD.get(str(case.body["refresh_token"]))
    is_public = case.operation.definition.raw.get("security") == []
    return None if is_public else HELD.get(str(response.request.headers.get("Authorization")))


def is_over(session: Session | None) -> bool:
    """Return True if the session has ended. Return False without a session."""
    return session is not None and session.id in ENDED


def live_sessions_of(user_id: str) -> set[str]:
    """Return the ids of the live sessions of a user."""
    return {session.id for session in HELD.values() if session.user_id == user_id} - ENDED


def cursors_of(operation: str, header: str) -> Iterator[str]:
    """Yield the cursors that an operation issued to the owner of this header."""
    session = HELD.get(header)
    for (source, cursor), user_id in CURSORS.items():
        if source == operation and session is not None and user_id == session.user_id:
            yield cursor


def tokens_of(session_id: str) -> list[str]:
    """Return the newest access token of a session, as a header, and the refresh token issued with it."""
    return [token for token, session in HELD.items() if session.id == session_id][-2:]


def code_for(operation: str, base_url: str) -> str | None:
    """Return a code of the default user that an operation accepts, or None if no code can be issued."""
    if not DEFAULT_USER:
        _log_in(base_url)
    return ISSUERS[-1](operation, DEFAULT_USER["username"]) if ISSUERS else None


def restore_password(base_url: str) -> None:
    """Give the default user the same password again, which an operation has made invalid."""
    body = {"code": code_for("resetPassword", base_url), "new_password": DEFAULT_USER["password"]}
    with httpx.Client(base_url=base_url, timeout=PATIENCE_SECONDS) as client:
        client.post("/api/v1/auth/password/reset", json=body).raise_for_status()


def live_sessions_of_default_user() -> set[str]:
    """Return the ids of the live sessions of the default user."""
    return {session.id for session in HELD.values() if session.name == DEFAULT_USER.get("username")} - ENDED


def send_token(base_url: str, token: str) -> httpx.Response:
    """Send a request with a token, and return the response."""
    with httpx.Client(base_url=base_url, timeout=PATIENCE_SECONDS) as client:
        if token.startswith("Bearer "):
            return client.get("/protected", headers={"Authorization": token})
        return client.post("/api/v1/auth/refresh", json={"refresh_token": token})


def header_of_any_user(base_url: str, *, is_new: bool, is_last: bool) -> str:
    """Return a working header of any user, from a new log-in if necessary. It is not reused if this use ends it.

    If a rate limit refuses the log-in, return an empty text.
    """
    header = SPARE.pop() if SPARE and not is_new else ""
    if header not in HELD or is_over(HELD[header]):
        header = _log_in(base_url)
    if not is_last:
        SPARE[:] = [header]
    return header


def refresh_token_of_new_session(base_url: str) -> str:
    """Return a refresh token from a new log-in, or an empty text if a rate limit refuses the log-in."""
    header = _log_in(base_url)
    return tokens_of(HELD[header].id)[-1] if header else ""


def header_of_new_user(base_url: str) -> str:
    """Return the header of a user who has just signed up, or an empty text if a rate limit refuses that."""
    user = new_user()
    with httpx.Client(base_url=base_url, timeout=PATIENCE_SECONDS) as client:
        credentials = {name: user[name] for name in ("username", "password")}
        client.post("/api/v1/auth/signup", json=user)
        response = client.post("/api/v1/auth/login", json=credentials)
        return record_tokens(response, user["username"]) if response.is_success else ""


def id_of_new_user(base_url: str) -> str | None:
    """Return the id of a user who has just signed up, or None if a rate limit refuses that."""
    user = new_user()
    with httpx.Client(base_url=base_url, timeout=PATIENCE_SECONDS) as client:
        response = client.post("/api/v1/auth/signup", json=user)
    if not response.is_success:
        return None
    CREATED.add(response.json()["id"])
    return str(response.json()["id"])


def header_of_admin(base_url: str) -> str:
    """Return a working header of the admin, or an empty text if a rate limit refuses the log-in."""
    is_new = not ADMIN
    known = [header for header, session in HELD.items() if session.name == ADMIN.get("username")]
    working = [header for header in known if header.startswith("Bearer ") and not is_over(HELD[header])]
    if working:
        return working[-1]
    if is_new:
        ADMIN.update(new_user())
        with httpx.Client(base_url=base_url, timeout=PATIENCE_SECONDS) as client:
            client.post("/api/v1/auth/signup", json=ADMIN).raise_for_status()
        for promote in PROMOTERS:
            promote(ADMIN["username"])
    return _log_in_as(base_url, ADMIN)


def new_service(base_url: str) -> dict[str, str]:
    """Return the credentials of a new service account, or nothing without an admin."""
    headers = {"Authorization": header_of_admin(base_url)}
    body = {"name": f"fuzz {uuid4().hex}", "scopes": SERVICE_SCOPES}
    with httpx.Client(base_url=base_url, timeout=PATIENCE_SECONDS) as client:
        response = client.post("/api/v1/service-accounts", json=body, headers=headers)
    return dict(response.json()) if response.is_success else {}


def header_of_service(base_url: str) -> str:
    """Return the header with the credentials of a service account, or an empty text without an admin."""
    if not SERVICE:
        SERVICE.update(new_service(base_url))
    return basic_of(SERVICE["client_id"], SERVICE["client_secret"])["Authorization"] if SERVICE else ""


def _log_in(base_url: str) -> str:
    if not DEFAULT_USER:
        DEFAULT_USER.update(new_user())
        with httpx.Client(base_url=base_url, timeout=PATIENCE_SECONDS) as client:
            client.post("/api/v1/auth/signup", json=DEFAULT_USER).raise_for_status()
    return _log_in_as(base_url, DEFAULT_USER)


def _log_in_as(base_url: str, user: dict[str, str]) -> str:
    with httpx.Client(base_url=base_url, timeout=PATIENCE_SECONDS) as client:
        response = client.post("/api/v1/auth/login", json={name: user[name] for name in ("username", "password")})
        if response.status_code == 429:
            return ""
        response.raise_for_status()
        return record_tokens(response, user["username"])


def new_user() -> dict[str, str]:
    """Return a sign-up form with a name and an email that are not in use."""
    name = f"fuzz-{uuid4().hex}"
    return {"username": name, "email": f"{name}@example.com", "password": "a password for fuzzing"}
