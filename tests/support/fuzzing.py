"""What Schemathesis must know beyond the contract: whose a token is, when it ends, and what no schema can state."""

from collections.abc import Iterator
from typing import Any, cast

import schemathesis
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from schemathesis import AuthContext, CheckContext, GenerationMode, HookContext, Response
from schemathesis import Case as AnyCase
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import CaseMetadata, ComponentInfo, TestPhase

from api.services import names, password_policy
from tests.support import fuzzed
from tests.support.fuzzed import CURSORS, ENDED, HELD, SOMEBODY, TAKEN, Session

Case = AnyCase[Any]


@schemathesis.hook
def before_load_schema(_: HookContext, __: dict[str, Any]) -> None:
    """Begin with nothing in mind."""
    fuzzed.forget()


@schemathesis.hook
def flatmap_body(context: HookContext, body: Any) -> SearchStrategy[Any]:
    """Some passwords are such as people choose: chance alone would hardly find those that are too easily guessed."""
    if not _is(context, "signUp") or not isinstance(body, dict):
        return st.just(body)
    guessable = ["password1", "Charter house", f"I am {body.get('username')}"]
    return st.sampled_from([body] * 9 + [body | {"password": password} for password in guessable])


@schemathesis.hook
def before_call(_: HookContext, case: Case, __: dict[str, Any]) -> None:
    """What is invalid although no schema can say so counts as such, or is mended."""
    if case.meta is None or case.meta.generation.mode.is_negative:
        return
    if _is(case, "signUp"):
        _look_into_sign_up(case, case.meta)
    if _is(case, "changePassword"):
        _look_into_change(case, case.meta)
    if _is(case, "listSessions"):
        _look_into_listing(case, case.meta)


def _look_into_sign_up(case: Case, meta: CaseMetadata) -> None:
    """A password that is too easily guessed is invalid.

    At the start of a journey it is mended instead, and so is a name that is taken: else few journeys would begin.
    """
    form = _form(case)
    if meta.phase.name is TestPhase.STATEFUL:
        form |= {name: value for name, value in fuzzed.new_user().items() if _is_spoilt(name, form)}
    elif _is_guessable(**form):
        _count_as_invalid(meta, ParameterLocation.BODY)


def _look_into_change(case: Case, meta: CaseMetadata) -> None:
    """A new password that is too easily guessed is invalid; the current one can only be known."""
    form = _form(case)
    if not password_policy.is_hard_to_guess(form["new_password"], "Charter"):
        _count_as_invalid(meta, ParameterLocation.BODY)
    elif meta.phase.name is TestPhase.FUZZING:
        form["current_password"] = SOMEBODY["password"]


def _look_into_listing(case: Case, meta: CaseMetadata) -> None:
    """A cursor that was not given to this user is invalid; those that were can only be known."""
    own = [*fuzzed.cursors_of(str(case.headers.get("Authorization")))]
    if "cursor" in case.query and own and meta.phase.name is TestPhase.FUZZING:
        case.query["cursor"] = own[-1]
    if "cursor" in case.query and case.query["cursor"] not in own:
        _count_as_invalid(meta, ParameterLocation.QUERY)


def _count_as_invalid(meta: CaseMetadata, where: ParameterLocation) -> None:
    meta.generation.mode = GenerationMode.NEGATIVE
    meta.components[where] = ComponentInfo(mode=GenerationMode.NEGATIVE)


def _is_spoilt(name: str, form: dict[str, str]) -> bool:
    return _is_guessable(**form) if name == "password" else names.login_key(form[name]) in TAKEN


def _is_guessable(username: str, email: str, password: str) -> bool:
    return password_policy.contains_identity(password, username, email) or not password_policy.is_hard_to_guess(
        password, "Charter"
    )


@schemathesis.hook
def after_call(_: HookContext, case: Case, response: Response) -> None:
    """Keep in mind which names are taken, what tokens and cursors are good for, and which password holds."""
    if _is(case, "signUp") and response.status_code == 201:
        TAKEN.update(names.login_key(_form(case)[name]) for name in ("username", "email"))
    if _is(case, "logIn") and response.status_code == 200:
        fuzzed.hold(response, _form(case)["username"])
    if _is(case, "refreshTokens") and response.status_code == 200:
        fuzzed.hold(response, HELD[_form(case)["refresh_token"]].name)
    if _is(case, "listSessions") and response.status_code == 200 and response.json()["next_cursor"]:
        session = fuzzed.session_of(case, response)
        CURSORS[response.json()["next_cursor"]] = session.user_id if session else ""
    if _is(case, "changePassword") and response.status_code == 204:
        SOMEBODY["password"] = _form(case)["new_password"]


@schemathesis.check
def a_profile_is_that_of_whoever_logged_in(_: CheckContext, response: Response, case: Case) -> None:
    """Whoever else is using the server."""
    session = fuzzed.session_of(case, response)
    if session is not None and _is(case, "getProfile") and response.status_code == 200:
        profile = response.json()
        assert names.login_key(session.name) in {names.login_key(profile[key]) for key in ("username", "email")}


@schemathesis.check
def a_session_that_is_over_is_refused(_: CheckContext, response: Response, case: Case) -> None:
    """Whatever is asked with a token of it, the answer is 401."""
    session = fuzzed.session_of(case, response)
    if fuzzed.is_over(session):
        # Nobody knows whose refresh token it is while the body is not valid.
        refusals = {400, 401, 415} if _is(case, "refreshTokens") else {401}
        assert response.status_code in refusals, "A session was gone on with after its end."
    for session_id in _ended(session, case, response) if session is not None else ():
        ENDED.add(session_id)
        for token in fuzzed.tokens_of(session_id):
            answer = fuzzed.try_token(str(case.operation.base_url), token)
            assert answer.status_code == 401, f"A token was good after {case.operation.label}."


def _ended(session: Session, case: Case, response: Response) -> Iterator[str]:
    """The ids of the sessions that this request of a session has ended."""
    if b"REFRESH_TOKEN_REUSED" in response.content:
        yield session.id
    if response.status_code != 204:
        return
    if _is(case, "logOut"):
        yield session.id
    if _is(case, "revokeSession"):
        yield case.path_parameters["session_id"]
    if _is(case, "revokeOtherSessions") or _is(case, "changePassword"):
        yield from fuzzed.live_sessions_of(session.user_id) - {session.id}


@schemathesis.auth(refresh_interval=None)
class SomeUser:
    """The token that a link carries; else one of somebody's session that nothing has ended yet."""

    def get(self, case: Case, _: AuthContext) -> str:
        linked = str(case.headers.get("Authorization"))
        if linked in HELD:
            return linked
        # A list has more pages than one for those alone who logged in often.
        logs_in, logs_out = _is(case, "listSessions"), _is(case, "logOut")
        return fuzzed.somebodys_header(str(case.operation.base_url), is_new=logs_in, is_last=logs_out)

    def set(self, case: Case, data: str, _: AuthContext) -> None:
        case.headers["Authorization"] = data


def _form(case: Case) -> dict[str, str]:
    """The body of a valid request."""
    return cast(dict[str, str], case.body)


def _is(place: Case | HookContext, operation_id: str) -> bool:
    return place.operation is not None and place.operation.definition.raw["operationId"] == operation_id
