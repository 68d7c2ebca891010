"""The authorization matrix: derived from the contract, and checked against the running application."""

from importlib import import_module
from typing import get_args, get_type_hints
from uuid import UUID

import pytest
import yaml
from inflection import underscore
from starlette.testclient import TestClient

from api.config import Config
from api.contract import Operation
from api.contract.dispatch.lookup import find_handler
from api.services import api_keys
from api.services.authentication import Caller, ServiceCaller
from api.storage.database import Database
from tests.support import own
from tests.support.callers import ANONYMOUS, OPERATIONS, OWNER, ROLES, SERVICE, Callers, accepts, is_own
from tests.support.databases import on_sqlite
from tests.support.readme import block
from tests.support.shipped import CONTRACT
from tests.support.success import success_of

# The public operations, each with a reason. All others require a token.
PUBLIC = {
    "completeSignUp": "the code from a mail proves who is calling",
    "checkReadiness": "a readiness probe has no token",
    "confirmEmailChange": "the code from a mail proves who is calling",
    "getContract": "clients without a token read here how to get one",
    "getPageScript": "the pages need it",
    "getPageStyle": "the pages need it",
    "getServerMetadata": "services that verify tokens have no token of their own",
    "getSigningKeys": "services that verify tokens have no token of their own",
    "logIn": "it returns the first token",
    "logInBrowser": "it returns the first token",
    "ping": "a liveness probe has no token",
    "refreshTokens": "it is called when the access token has expired",
    "requestPasswordReset": "its user has forgotten the password",
    "requestSignUp": "it precedes the creation of the user",
    "resetPassword": "the code from a mail proves who is calling",
    "restoreAccount": "the code from a mail proves who is calling",
    "revokeToken": "the token in the body proves who is calling",
    "revertEmailChange": "the code from a mail proves who is calling",
    "showVerifyEmailPage": "a link in a mail leads to it",
    "showSignUpPage": "a link in a mail leads to it",
    "showConfirmEmailPage": "a link in a mail leads to it",
    "showRevertEmailPage": "a link in a mail leads to it",
    "showRestoreAccountPage": "a link in a mail leads to it",
    "showResetPasswordPage": "a link in a mail leads to it",
    "signUp": "it creates the user",
    "verifyEmail": "the code from a mail proves who is calling",
}

# The operations that accept an API key, each with a reason. A key that leaks must not change who can do what.
WITH_KEYS = {
    "getProfile": "programs read whose key they have",
    "protected": "programs check their key",
}
ACCEPT_KEYS = {*WITH_KEYS, *own.WITH_KEYS}

pytestmark = pytest.mark.usefixtures("all_features")

CALLERS = (ANONYMOUS, "a user without scopes", *ROLES, SERVICE)


def test_every_operation_requires_a_token_unless_listed_as_public() -> None:
    found = {name for name in OPERATIONS if not requires_token(name)}
    assert found == {*PUBLIC, *own.PUBLIC}, "list your public operations in tests/support/own.py"


def test_every_operation_with_an_api_key_is_listed() -> None:
    found = {name for name, operation in OPERATIONS.items() if {"apiKey": []} in operation.security}
    assert found == ACCEPT_KEYS, "list your operations with API keys in tests/support/own.py"
    documented = yaml.safe_load(block("security: [{bearer").text)["security"]
    assert {str(OPERATIONS[name].security) for name in found} == {str(documented)}
    for name in found:
        # A handler that needs a session takes an Identity.
        handler = find_handler(OPERATIONS[name].address("api.handlers"))
        assert get_type_hints(handler).get("identity", Caller) is Caller


def requires_token(name: str) -> bool:
    """Return True if the contract declares a security requirement for this operation."""
    return bool(OPERATIONS[name].security)


def test_an_api_key_calls_only_the_listed_operations(callers: Callers) -> None:
    required = [name for name in OPERATIONS if requires_token(name)]
    found = {name: callers.call_with_key(name, accepted=name in ACCEPT_KEYS).status_code for name in required}
    assert found == {name: int(success_of(OPERATIONS[name])) if name in ACCEPT_KEYS else 401 for name in found}


def expected_status(name: str, caller: str) -> int:
    """Return the status that the contract promises this caller."""
    operation = OPERATIONS[name]
    if requires_token(name) and not has_credential(name, caller):
        return 401
    # With a token of a service, operations without scopes are forbidden, because they are for users.
    is_for_users = caller == SERVICE and not operation.scopes and accepts(name, "bearer")
    if requires_token(name) and (is_for_users or not scopes_of(caller).issuperset(operation.scopes)):
        return 403
    if caller != OWNER and is_own(name) and "{" in operation.path:
        # Another user's resource gets the same response as one that does not exist.
        return 404
    return int(success_of(operation))


def has_credential(name: str, caller: str) -> bool:
    """Return True if a caller sends a valid credential that the operation accepts."""
    if caller == ANONYMOUS or accepts(name, "bearer"):
        return caller != ANONYMOUS
    return accepts(name, "client" if caller == SERVICE else "refreshCookie")


def scopes_of(caller: str) -> frozenset[str]:
    """Return the scopes of a caller."""
    return CONTRACT.service_scopes if caller == SERVICE else CONTRACT.roles.get(ROLES.get(caller, ""), frozenset())


def callers_of(name: str) -> tuple[str, ...]:
    """Return the callers to try. Scopes and owners make no difference to a public operation."""
    return CALLERS if requires_token(name) else (ANONYMOUS, OWNER)


def is_accepted(name: str, caller: str) -> bool:
    return expected_status(name, caller) < 400


ACCEPTED = [(name, caller) for name in sorted(OPERATIONS) for caller in callers_of(name) if is_accepted(name, caller)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "caller"), ACCEPTED)
def test_each_operation_accepts_authorized_callers(callers: Callers, name: str, caller: str) -> None:
    response = callers.call(name, caller)
    assert response.status_code == expected_status(name, caller), response.text
    if caller != OWNER and requires_token(name) and is_own(name):
        callers.check_privacy(response)


@on_sqlite
def test_a_list_that_shows_rows_of_another_user_is_found(callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    page = api_keys.page
    owner_id = UUID(callers.owner.id)
    monkeypatch.setattr(api_keys, "page", lambda db, cursors, _, **more: page(db, cursors, owner_id, **more))
    response = callers.call("listApiKeys", "another user")
    assert response.status_code == 200
    with pytest.raises(AssertionError, match="another user's"):
        callers.check_privacy(response)


# The scopes and the credentials are checked before the database is read.
@on_sqlite
@pytest.mark.parametrize("name", [name for name in sorted(OPERATIONS) if requires_token(name)])
def test_each_operation_rejects_all_other_callers(callers: Callers, name: str) -> None:
    for caller in callers_of(name):
        expected = expected_status(name, caller)
        if is_accepted(name, caller):
            continue
        response = callers.call(name, caller)
        assert response.status_code == expected, f"{caller}: {response.text}"
        if expected == 403:
            required = " ".join(OPERATIONS[name].scopes)
            scope = f', scope="{required}"' if required else ""
            assert response.headers["www-authenticate"] == f'Bearer error="insufficient_scope"{scope}'
        if is_own(name):
            callers.check_privacy(response)


REACHABLE = [
    operation
    for operation in CONTRACT.operations()
    if operation.scopes and CONTRACT.service_scopes.issuperset(operation.scopes)
]


@pytest.mark.parametrize("operation", REACHABLE, ids=lambda operation: operation.id)
def test_no_handler_for_users_is_reachable_by_a_service(operation: Operation) -> None:
    module = import_module(f"api.handlers.{operation.tag}")
    declared = get_type_hints(getattr(module, underscore(operation.id))).get("identity", ServiceCaller)
    assert ServiceCaller in {declared, *get_args(declared)}


@pytest.fixture
def callers(client: TestClient, config: Config, database: Database) -> Callers:
    return Callers(client, config, database)
