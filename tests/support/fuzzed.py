"""What a run of Schemathesis knows of the server it fuzzes: who is logged in there, and what is over."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import jwt
from schemathesis import Case, Response

from tests.support.patience import PATIENCE_SECONDS

TAKEN: set[str] = set()
"""The usernames and emails of those who signed up."""


class Session(NamedTuple):
    """What a log-in began, and by which name."""

    id: str
    user_id: str
    name: str


HELD: dict[str, Session] = {}
"""What each token is of: of an access token the header `Authorization` that a link makes of it, and refresh tokens."""

ENDED: set[str] = set()
"""The ids of the sessions that are over."""

CURSORS: dict[str, str] = {}
"""Whose each cursor is, by the ids of users."""

SOMEBODY: dict[str, str] = {}
"""Who does what no link leads to, so that all of it is found again."""

SPARE: list[str] = []
"""A header of theirs that works, or did."""


def forget() -> None:
    """A run knows nothing of the one before it, whose server was another."""
    for memory in (TAKEN, HELD, ENDED, CURSORS, SOMEBODY, SPARE):
        memory.clear()


def hold(answer: Response | httpx.Response, name: str) -> str:
    """Keep in mind whose the tokens in an answer are; the header that carries the access token."""
    pair = answer.json()
    header = f"Bearer {pair['access_token']}"
    claims = jwt.decode(pair["access_token"], options={"verify_signature": False})
    HELD[header] = HELD[pair["refresh_token"]] = Session(claims["sid"], claims["sub"], name)
    return header


def session_of(case: Case[Any], answer: Response) -> Session | None:
    """The session whose refresh token is in the body of a request, or whose access token is looked at."""
    if isinstance(case.body, dict) and "refresh_token" in case.body:
        return HELD.get(str(case.body["refresh_token"]))
    is_public = case.operation.definition.raw.get("security") == []
    return None if is_public else HELD.get(str(answer.request.headers.get("Authorization")))


def is_over(session: Session | None) -> bool:
    """Whether something has ended it; nobody's session is not."""
    return session is not None and session.id in ENDED


def live_sessions_of(user_id: str) -> set[str]:
    """The ids of the sessions of a user that nothing has ended."""
    return {session.id for session in HELD.values() if session.user_id == user_id} - ENDED


def cursors_of(header: str) -> Iterator[str]:
    """The cursors that were given to whom this header is of."""
    session = HELD.get(header)
    yield from (cursor for cursor, user_id in CURSORS.items() if session is not None and user_id == session.user_id)


def tokens_of(session_id: str) -> list[str]:
    """The newest access token of a session, as the header that carries it, and the refresh token that came with it."""
    return [token for token, session in HELD.items() if session.id == session_id][-2:]


def try_token(base_url: str, token: str) -> httpx.Response:
    """The answer to whoever comes with a token."""
    with httpx.Client(base_url=base_url, timeout=PATIENCE_SECONDS) as client:
        if token.startswith("Bearer "):
            return client.get("/protected", headers={"Authorization": token})
        return client.post("/api/v1/auth/refresh", json={"refresh_token": token})


def somebodys_header(base_url: str, *, is_new: bool, is_last: bool) -> str:
    """A header of somebody's that works: of a new log-in, if need be, and not to be used again if this use ends it."""
    header = SPARE.pop() if SPARE and not is_new else ""
    if header not in HELD or is_over(HELD[header]):
        header = _log_in(base_url)
    if not is_last:
        SPARE[:] = [header]
    return header


def _log_in(base_url: str) -> str:
    with httpx.Client(base_url=base_url, timeout=PATIENCE_SECONDS) as client:
        if not SOMEBODY:
            SOMEBODY.update(new_user())
            client.post("/api/v1/auth/signup", json=SOMEBODY).raise_for_status()
        credentials = {name: SOMEBODY[name] for name in ("username", "password")}
        return hold(client.post("/api/v1/auth/login", json=credentials).raise_for_status(), SOMEBODY["username"])


def new_user() -> dict[str, str]:
    """What somebody signs up with whom nobody knows."""
    name = f"fuzz-{uuid4().hex}"
    return {"username": name, "email": f"{name}@example.com", "password": "a password for fuzzing"}
