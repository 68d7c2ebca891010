"""What Schemathesis must know beyond the contract: how to get a token, and the one rule no schema can state."""

from typing import Any
from uuid import uuid4

import httpx
import schemathesis
from schemathesis import AuthContext, HookContext
from schemathesis import Case as AnyCase
from starlette.testclient import TestClient

from api.services import passwords

Case = AnyCase[Any]


@schemathesis.hook
def filter_case(_: HookContext, case: Case) -> bool:
    """Leave out sign-ups with a password that is too easily guessed: the schema allows them, the server must not."""
    return case.operation.definition.raw.get("operationId") != "signUp" or not _guessable(case.body)


def _guessable(body: Any) -> bool:
    try:
        username, email, password = body["username"], body["email"], body["password"]
        return passwords.holds_own_name(password, username, email) or not passwords.is_hard_to_guess(
            password, "Charter"
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


@schemathesis.auth(refresh_interval=None)
class SomeUser:
    """A token of a session that nothing has ended yet: every case gets one of its own when it logs out."""

    def __init__(self) -> None:
        self._token = ""

    def get(self, case: Case, _: AuthContext) -> str:
        if not self._token:
            self._token = _new_token(case)
        token = self._token
        if case.operation.definition.raw.get("operationId") == "logOut":
            self._token = ""
        return token

    def set(self, case: Case, data: str, _: AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


def _new_token(case: Case) -> str:
    name = f"fuzz-{uuid4().hex}"
    credentials = {"username": name, "password": "a password for fuzzing"}
    _post(case, "/api/v1/auth/signup", credentials | {"email": f"{name}@example.com"})
    return str(_post(case, "/api/v1/auth/login", credentials)["access_token"])


def _post(case: Case, path: str, body: dict[str, str]) -> dict[str, Any]:
    app, base_url = case.operation.app, case.operation.base_url
    if app is None:
        return dict(httpx.post(f"{str(base_url).rstrip('/')}{path}", json=body, timeout=10).json())
    return dict(TestClient(app).post(path, json=body).json())
