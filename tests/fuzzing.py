"""What Schemathesis must know beyond the contract: whose a token is, when it ends, and what no schema can state."""

from typing import Any, cast
from uuid import uuid4

import httpx
import schemathesis
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from schemathesis import AuthContext, CheckContext, GenerationMode, HookContext, Response
from schemathesis import Case as AnyCase
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import ComponentInfo, TestPhase

from api.services import names, passwords

Case = AnyCase[Any]

TAKEN: set[str] = set()
"""The usernames and emails of those who signed up."""

ISSUED: dict[str, str] = {}
"""Who logged in for a token, by the header `Authorization` that carries it: a link from `logIn` makes that header."""

ENDED: set[str] = set()
"""The headers whose session `logOut` ended."""

SOMEBODY: dict[str, str] = {}
"""Who does what no link leads to, so that all of it is found again."""

SPARE: list[str] = []
"""A header of theirs that works."""


@schemathesis.hook
def before_load_schema(_: HookContext, __: dict[str, Any]) -> None:
    """A run knows nothing of the one before it, whose server was another."""
    for memory in (TAKEN, ISSUED, ENDED, SOMEBODY, SPARE):
        memory.clear()


@schemathesis.hook
def flatmap_body(context: HookContext, body: Any) -> SearchStrategy[Any]:
    """Some passwords are such as people choose: chance alone would hardly find those that are too easily guessed."""
    if not _is(context, "signUp") or not isinstance(body, dict):
        return st.just(body)
    guessable = ["password1", "Charter house", f"I am {body.get('username')}"]
    return st.sampled_from([body] * 9 + [body | {"password": password} for password in guessable])


@schemathesis.hook
def before_call(_: HookContext, case: Case, __: dict[str, Any]) -> None:
    """A sign-up with a password that is too easily guessed is invalid, although no schema can say so.

    At the start of a journey it is mended instead, and so is a name that is taken: else few journeys would begin.
    """
    if not _is(case, "signUp") or case.meta is None or case.meta.generation.mode.is_negative:
        return
    form = _form(case)
    if case.meta.phase.name is TestPhase.STATEFUL:
        form |= {name: value for name, value in _new_user().items() if _is_spoilt(name, form)}
    elif _is_guessable(**form):
        case.meta.generation.mode = GenerationMode.NEGATIVE
        case.meta.components[ParameterLocation.BODY] = ComponentInfo(mode=GenerationMode.NEGATIVE)


def _is_spoilt(name: str, form: dict[str, str]) -> bool:
    return _is_guessable(**form) if name == "password" else names.log_in_key(form[name]) in TAKEN


def _is_guessable(username: str, email: str, password: str) -> bool:
    return passwords.holds_own_name(password, username, email) or not passwords.is_hard_to_guess(password, "Charter")


@schemathesis.hook
def after_call(_: HookContext, case: Case, response: Response) -> None:
    """Keep in mind which names are taken, and whose each token is."""
    if _is(case, "signUp") and response.status_code == 201:
        TAKEN.update(names.log_in_key(_form(case)[name]) for name in ("username", "email"))
    if _is(case, "logIn") and response.status_code == 200:
        ISSUED[_bearer(response)] = _form(case)["username"]


@schemathesis.check
def a_profile_is_that_of_whoever_logged_in(_: CheckContext, response: Response, case: Case) -> None:
    """Whoever else is using the server."""
    name = ISSUED.get(_sent(response))
    if name is not None and _is(case, "getProfile") and response.status_code == 200:
        profile = response.json()
        assert names.log_in_key(name) in {names.log_in_key(profile[key]) for key in ("username", "email")}


@schemathesis.check
def a_token_is_refused_after_log_out(_: CheckContext, response: Response, case: Case) -> None:
    """Whatever is asked with it, the answer is 401."""
    header = _sent(response)
    assert header not in ENDED or response.status_code == 401, "The token was taken after its session had ended."
    if _is(case, "logOut") and response.status_code == 204:
        ENDED.add(header)


@schemathesis.auth(refresh_interval=None)
class SomeUser:
    """The token that a link carries; else one of somebody's session that nothing has ended yet."""

    def get(self, case: Case, _: AuthContext) -> str:
        linked = str(case.headers.get("Authorization"))
        if linked in ISSUED:
            return linked
        header = SPARE.pop() if SPARE else _new_token(str(case.operation.base_url))
        if not _is(case, "logOut"):
            SPARE.append(header)
        return header

    def set(self, case: Case, data: str, _: AuthContext) -> None:
        case.headers["Authorization"] = data


def _new_token(base_url: str) -> str:
    with httpx.Client(base_url=base_url, timeout=10) as client:
        if not SOMEBODY:
            SOMEBODY.update(_new_user())
            client.post("/api/v1/auth/signup", json=SOMEBODY).raise_for_status()
        credentials = {name: SOMEBODY[name] for name in ("username", "password")}
        return _bearer(client.post("/api/v1/auth/login", json=credentials).raise_for_status())


def _new_user() -> dict[str, str]:
    name = f"fuzz-{uuid4().hex}"
    return {"username": name, "email": f"{name}@example.com", "password": "a password for fuzzing"}


def _bearer(answer: Response | httpx.Response) -> str:
    """The header that carries the token of this answer."""
    return f"Bearer {answer.json()['access_token']}"


def _sent(response: Response) -> str:
    return str(response.request.headers.get("Authorization"))


def _form(case: Case) -> dict[str, str]:
    """The body of a valid sign-up or log-in."""
    return cast(dict[str, str], case.body)


def _is(place: Case | HookContext, operation_id: str) -> bool:
    return place.operation is not None and place.operation.definition.raw["operationId"] == operation_id
