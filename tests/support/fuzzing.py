"""Schemathesis hooks for rules that the contract cannot state: the owner of a token, its end, and the like."""

from collections.abc import Iterable, Iterator
from typing import Any, cast
from uuid import uuid4

import schemathesis
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from schemathesis import AuthContext, CheckContext, GenerationMode, HookContext, Response
from schemathesis import Case as AnyCase
from schemathesis.config import OperationConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import CaseMetadata, ComponentInfo, TestPhase
from schemathesis.schemas import BaseSchema

from api.contract import Contract
from api.services import names, password_policy
from tests.support import codes, fuzzed
from tests.support.fuzzed import CURSORS, DEFAULT_USER, ENDED, HELD, TAKEN, Session

Case = AnyCase[Any]
LISTS = {"listApiKeys", "listSessions"}
"""The operations with pages."""


@schemathesis.hook
def before_load_schema(_: HookContext, document: dict[str, Any]) -> None:
    """Start with an empty state, and give each link its body and its token.

    The published contract has them in extensions, because some tools do not accept them where OpenAPI has them.
    """
    fuzzed.forget()
    for operation in Contract(document).operations():
        for response in operation.responses.values():
            for link in response.get("links", {}).values():
                if "x-request-body" in link:
                    link["requestBody"] = link["x-request-body"]
                if "x-authorization" in link:
                    link["parameters"]["header.Authorization"] = link["x-authorization"]


@schemathesis.hook
def after_load_schema(_: HookContext, schema: BaseSchema) -> None:
    """Expect a 403 from the operations for admins, because a run without an admin calls them as a user."""
    contract = Contract(schema.raw_schema)
    names = [operation.id for operation in contract.operations() if _is_beyond_users(contract, operation.scopes)]
    refusals = {
        "negative_data_rejection": {"expected-statuses": ["400", "401", "403", "415"]},
        "positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "404", "409", "429"]},
    }
    if names:
        # The first of several settings counts, so those of schemathesis.toml do.
        config = OperationConfig.from_dict({"include-operation-id": names, "checks": refusals})
        schema.config.operations.operations.append(config)


def _is_beyond_users(contract: Contract, scopes: Iterable[str]) -> bool:
    """Return True if an operation requires a scope that neither the role `user` nor a service account has."""
    return not (contract.roles["user"] | contract.service_scopes).issuperset(scopes)


@schemathesis.hook
def flatmap_body(context: HookContext, body: Any) -> SearchStrategy[Any]:
    """Mix in common passwords: random ones are hardly ever too easy to guess.

    A body that breaks the schema of the password must stay invalid.
    """
    if not _is(context, "signUp") or not isinstance(body, dict) or not _has_valid_password(body):
        return st.just(body)
    guessable = ["password1", "Charter house", f"I am {body.get('username')}"]
    return st.sampled_from([body] * 9 + [body | {"password": password} for password in guessable])


def _has_valid_password(body: dict[str, Any]) -> bool:
    password = body.get("password")
    return isinstance(password, str) and 8 <= len(password) <= 128 and "\0" not in password and len({*password}) > 1


@schemathesis.hook
def before_call(_: HookContext, case: Case, __: dict[str, Any]) -> None:
    """Mark a case as invalid if it breaks a rule that no schema can state, or repair it."""
    if _is_for_admins(case):
        _protect_users(case)
    if case.meta is None or case.meta.generation.mode.is_negative:
        return
    if _is(case, "signUp"):
        _adjust_sign_up(case, case.meta)
    if _is(case, "changePassword"):
        _adjust_change(case, case.meta)
    proves_identity = _is(case, "requestDeletion") or _is(case, "stepUp")
    if proves_identity and case.meta.phase.name is TestPhase.FUZZING and DEFAULT_USER:
        _form(case)["current_password"] = DEFAULT_USER["password"]
    if case.operation.definition.raw["operationId"] in codes.OPERATIONS:
        _adjust_code(case, case.meta)
    _adjust_email_change(case, case.meta)
    if _is(case, "logInBrowser") or _reads_cookie(case):
        _adjust_browser(case, case.meta)
    if case.operation.definition.raw["operationId"] in LISTS:
        _adjust_listing(case, case.meta)
    elif case.query:
        # Chance cannot guess a cursor, which is valid with the filters of its list only.
        case.query.pop("cursor", None)
    if _is(case, "createApiKey"):
        # A schema cannot generate the scopes of the user.
        _form(case)["scopes"] = ["profile"]
    if _is_for_admins(case):
        _adjust_administration(case)
    if _is(case, "issueToken"):
        # Chance cannot guess the only grant and the only scope.
        case.body = {"grant_type": "client_credentials"}


def _adjust_sign_up(case: Case, meta: CaseMetadata) -> None:
    """Mark a sign-up with an easily guessed password as invalid.

    At the start of a journey, repair the password instead, and a name in use too. Otherwise few journeys would begin.
    """
    form = _form(case)
    if meta.phase.name is TestPhase.STATEFUL:
        form |= {name: value for name, value in fuzzed.new_user().items() if _is_spoilt(name, form)}
    elif not password_policy.is_hard_to_guess(form["password"], "Charter"):
        _count_as_invalid(meta, ParameterLocation.BODY)


def _adjust_change(case: Case, meta: CaseMetadata) -> None:
    """Mark an easily guessed new password as invalid. Fill in the current one, which chance cannot guess."""
    form = _form(case)
    if not password_policy.is_hard_to_guess(form["new_password"], "Charter"):
        _count_as_invalid(meta, ParameterLocation.BODY)
    elif meta.phase.name is TestPhase.FUZZING:
        form["current_password"] = DEFAULT_USER["password"]


def _adjust_code(case: Case, meta: CaseMetadata) -> None:
    """Mark an easily guessed password as invalid. Fill in a code, which chance cannot guess."""
    form, operation = _form(case), case.operation.definition.raw["operationId"]
    passwords = [form[name] for name in ("password", "new_password") if name in form]
    if not all(password_policy.is_hard_to_guess(password, "Charter") for password in passwords):
        _count_as_invalid(meta, ParameterLocation.BODY)
    elif code := fuzzed.code_for(operation, str(case.operation.base_url)):
        form["code"] = code


def _adjust_email_change(case: Case, meta: CaseMetadata) -> None:
    """Fill in a password, which chance cannot guess, and make a change pending."""
    if _is(case, "requestEmailChange") and meta.phase.name is TestPhase.FUZZING:
        _form(case)["current_password"] = DEFAULT_USER.get("password", "wrong")
    if _is(case, "cancelEmailChange"):
        fuzzed.code_for("confirmEmailChange", str(case.operation.base_url))


def _adjust_browser(case: Case, meta: CaseMetadata) -> None:
    """Fill in the headers of a page of the same origin, and credentials, which chance cannot guess."""
    case.headers.pop("Origin", None)
    case.headers["Sec-Fetch-Site"] = "same-origin"
    if _is(case, "logInBrowser") and meta.phase.name is TestPhase.FUZZING and DEFAULT_USER:
        _form(case).update({name: DEFAULT_USER[name] for name in ("username", "password")})


def _adjust_listing(case: Case, meta: CaseMetadata) -> None:
    """Mark a cursor of another user as invalid. Fill in issued cursors, which chance cannot guess."""
    operation = case.operation.definition.raw["operationId"]
    own = [*fuzzed.cursors_of(operation, str(case.headers.get("Authorization")))]
    if "cursor" in case.query and own and meta.phase.name is TestPhase.FUZZING:
        case.query["cursor"] = own[-1]
    if "cursor" in case.query and case.query["cursor"] not in own:
        if ParameterLocation.QUERY in meta.components:
            _count_as_invalid(meta, ParameterLocation.QUERY)
        else:
            # A link has added it to a case without a query.
            case.query.pop("cursor")


def _adjust_administration(case: Case) -> None:
    """Fill in a user, a mail and free names."""
    if "user_id" in case.path_parameters and case.path_parameters["user_id"] not in fuzzed.CREATED:
        new = fuzzed.id_of_new_user(str(case.operation.base_url))
        case.path_parameters["user_id"] = new or case.path_parameters["user_id"]
    if "mail_id" in case.path_parameters and fuzzed.DEAD_MAILS:
        case.path_parameters["mail_id"] = fuzzed.DEAD_MAILS[-1]()
    if "client_id" in case.path_parameters and (service := fuzzed.new_service(str(case.operation.base_url))):
        case.path_parameters["client_id"] = service["client_id"]
    if _is(case, "createUser") and any(names.login_key(_form(case)[name]) in TAKEN for name in ("username", "email")):
        _form(case).update({name: value for name, value in fuzzed.new_user().items() if name != "password"})


def _protect_users(case: Case) -> None:
    """Replace the id of a user with a session, because Schemathesis also sends ids that it has seen in responses."""
    if case.method != "GET" and case.path_parameters.get("user_id") in {each.user_id for each in HELD.values()}:
        case.path_parameters["user_id"] = str(uuid4())


def _is_for_admins(case: Case) -> bool:
    """Return True if an operation requires a scope that only admins have."""
    scopes = case.operation.definition.raw.get("x-scopes", [])
    return _is_beyond_users(Contract(case.operation.schema.raw_schema), scopes)


def _count_as_invalid(meta: CaseMetadata, where: ParameterLocation) -> None:
    meta.generation.mode = GenerationMode.NEGATIVE
    meta.components[where] = ComponentInfo(mode=GenerationMode.NEGATIVE)


def _is_spoilt(name: str, form: dict[str, str]) -> bool:
    if name != "password":
        return names.login_key(form[name]) in TAKEN
    is_hard = password_policy.is_hard_to_guess(form["password"], "Charter")
    return not is_hard or password_policy.contains_identity(**form)


@schemathesis.hook
def after_call(_: HookContext, case: Case, response: Response) -> None:
    """Record the names in use, the owners of tokens and cursors, and the current passwords."""
    if any(_is(case, name) for name in ("signUp", codes.SIGN_UP, "createUser")) and response.status_code == 201:
        TAKEN.update(names.login_key(response.json()[name]) for name in ("username", "email"))
    if _is(case, "createUser") and response.status_code == 201:
        fuzzed.CREATED.add(response.json()["id"])
    if _is(case, "logIn") and response.status_code == 200:
        fuzzed.record_tokens(response, _form(case)["username"])
    if _is(case, "refreshTokens") and response.status_code == 200:
        fuzzed.record_tokens(response, HELD[_form(case)["refresh_token"]].name)
    operation = case.operation.definition.raw["operationId"]
    if operation in LISTS and response.status_code == 200 and response.json()["next_cursor"]:
        session = fuzzed.session_of(case, response)
        CURSORS[operation, response.json()["next_cursor"]] = session.user_id if session else ""
    if _is(case, "updateProfile") and response.status_code == 200 and "username" in _form(case):
        fuzzed.rename(fuzzed.session_of(case, response), _form(case)["username"])
    if _is(case, "requestDeletion") and response.status_code == 202:
        # The next operation that needs a user signs another one up.
        DEFAULT_USER.clear()
    if (_is(case, "changePassword") or _is(case, "resetPassword")) and response.status_code == 204:
        DEFAULT_USER["password"] = _form(case)["new_password"]
    if _is(case, "revertEmailChange") and response.status_code == 204:
        fuzzed.restore_password(str(case.operation.base_url))


@schemathesis.check
def profile_belongs_to_the_logged_in_user(_: CheckContext, response: Response, case: Case) -> None:
    """Check that a profile belongs to the user of the token, even while other users are active."""
    session = fuzzed.session_of(case, response)
    if session is not None and _is(case, "getProfile") and response.status_code == 200:
        profile = response.json()
        assert names.login_key(session.name) in {names.login_key(profile[key]) for key in ("username", "email")}


@schemathesis.check
def passwords_with_names_are_rejected(_: CheckContext, response: Response, case: Case) -> None:
    """Check that a valid sign-up gets `PASSWORD_CONTAINS_NAME` exactly if its password contains a name of the user."""
    if _is(case, "signUp") and response.status_code in {201, 409}:
        is_rejected = b"PASSWORD_CONTAINS_NAME" in response.content
        assert is_rejected == password_policy.contains_identity(**_form(case))


@schemathesis.check
def ended_sessions_are_rejected(_: CheckContext, response: Response, case: Case) -> None:
    """Check that every request with a token of an ended session gets a 401."""
    session = fuzzed.session_of(case, response)
    if fuzzed.is_over(session):
        # While the body is invalid, the owner of its refresh token is unknown.
        refusals = {400, 401, 415} if _is(case, "refreshTokens") else {401}
        assert response.status_code in refusals, "An ended session was refreshed."
    for session_id in _ended(session, case, response):
        ENDED.add(session_id)
        for token in fuzzed.tokens_of(session_id):
            retry = fuzzed.send_token(str(case.operation.base_url), token)
            assert retry.status_code == 401, f"A token was still accepted after {case.operation.label}."


def _ended(session: Session | None, case: Case, response: Response) -> Iterator[str]:
    """Yield the ids of the sessions that this request has ended."""
    if (_is(case, "resetPassword") or _is(case, "revertEmailChange")) and response.status_code == 204:
        yield from fuzzed.live_sessions_of_default_user()
    if session is None:
        return
    if _is(case, "requestDeletion") and response.status_code == 202:
        yield from fuzzed.live_sessions_of(session.user_id)
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
    """Authentication with the token of a link, with one of any live session, or with a cookie of a new one."""

    def get(self, case: Case, _: AuthContext) -> str | None:
        if _reads_cookie(case):
            return fuzzed.refresh_token_of_new_session(str(case.operation.base_url)) or None
        if _is(case, "issueToken") or _is(case, "introspectToken"):
            return fuzzed.header_of_service(str(case.operation.base_url)) or None
        if _is_for_admins(case):
            return fuzzed.header_of_admin(str(case.operation.base_url)) or None
        linked = str(case.headers.get("Authorization"))
        if linked in HELD:
            return linked
        if _is(case, "requestEmailVerification"):
            # The email of the default user is verified soon.
            return fuzzed.header_of_new_user(str(case.operation.base_url)) or None
        # Only a user with many sessions has a list with several pages.
        logs_in, logs_out = _is(case, "listSessions"), _is(case, "logOut")
        return fuzzed.header_of_any_user(str(case.operation.base_url), is_new=logs_in, is_last=logs_out) or None

    def set(self, case: Case, data: str, _: AuthContext) -> None:
        if _reads_cookie(case):
            case.cookies["__Host-charter"] = data
        else:
            case.headers["Authorization"] = data


def _reads_cookie(case: Case) -> bool:
    return _is(case, "refreshBrowser") or _is(case, "logOutBrowser")


def _form(case: Case) -> dict[str, Any]:
    """Return the body of a valid request."""
    return cast(dict[str, Any], case.body)


def _is(place: Case | HookContext, operation_id: str) -> bool:
    return place.operation is not None and place.operation.definition.raw["operationId"] == operation_id
