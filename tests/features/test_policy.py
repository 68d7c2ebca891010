"""The authorization matrix: derived from the contract, and checked against the running application."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, get_type_hints

import httpx
import pytest
import yaml
from starlette.testclient import TestClient

from api import contract
from api.clock import now
from api.config import Config
from api.config.paths import resource_dir
from api.contract import Operation
from api.contract.dispatch.lookup import find_handler
from api.contract.document.operation import Json
from api.crypto.access_tokens import AccessTokenCodec
from api.services.authentication import Caller
from api.services.signing_keys import Keyring
from api.storage.database import Database
from tests.support import codes
from tests.support.api_keys import create_key
from tests.support.person import newcomer
from tests.support.readme import block
from tests.support.success import success_of

CONTRACT = contract.load(resource_dir("openapi"))
OPERATIONS = {operation.id: operation for operation in CONTRACT.operations()}
# The public operations, each with a reason. All others require a token.
PUBLIC = {
    "completeSignUp": "the code from a mail proves who is calling",
    "checkReadiness": "a readiness probe has no token",
    "confirmEmailChange": "the code from a mail proves who is calling",
    "getContract": "clients without a token read here how to get one",
    "getPageScript": "the pages need it",
    "getPageStyle": "the pages need it",
    "getSigningKeys": "services that verify tokens have no token of their own",
    "logIn": "it returns the first token",
    "logInBrowser": "it returns the first token",
    "ping": "a liveness probe has no token",
    "refreshTokens": "it is called when the access token has expired",
    "requestPasswordReset": "its user has forgotten the password",
    "requestSignUp": "it precedes the creation of the user",
    "resetPassword": "the code from a mail proves who is calling",
    "restoreAccount": "the code from a mail proves who is calling",
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

pytestmark = pytest.mark.usefixtures("all_features")

CALLERS = ("anonymous", "a user without scopes", "another user", "the owner")


def test_every_operation_requires_a_token_unless_listed_as_public() -> None:
    assert {name for name in OPERATIONS if not requires_token(name)} == set(PUBLIC)


def test_every_operation_with_an_api_key_is_listed() -> None:
    assert {name for name, operation in OPERATIONS.items() if {"apiKey": []} in operation.security} == set(WITH_KEYS)
    documented = yaml.safe_load(block("security: [{bearer").text)["security"]
    assert {str(OPERATIONS[name].security) for name in WITH_KEYS} == {str(documented)}
    for name in WITH_KEYS:
        # A handler that needs a session takes an Identity.
        handler = find_handler(OPERATIONS[name].address("api.handlers"))
        assert get_type_hints(handler).get("identity", Caller) is Caller


def requires_token(name: str) -> bool:
    """Return True if the contract declares a security requirement for this operation."""
    return bool(OPERATIONS[name].security)


# Scopes and owners make no difference to a public operation.
CASES = [
    (name, caller)
    for name in sorted(OPERATIONS)
    for caller in (CALLERS if requires_token(name) else ("anonymous", "the owner"))
]


@pytest.mark.parametrize(("name", "caller"), CASES)
def test_each_operation_accepts_only_authorized_callers(callers: "Callers", name: str, caller: str) -> None:
    expected = expected_status(name, caller)
    response = callers.call(name, caller)
    assert response.status_code == expected, response.text
    if expected == 403:
        required = " ".join(OPERATIONS[name].scopes)
        assert response.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{required}"'
    if caller != "the owner" and requires_token(name):
        assert callers.owner.id not in response.text
        assert callers.owner.username not in response.text


def test_an_api_key_calls_only_the_listed_operations(callers: "Callers") -> None:
    found = {name: callers.call_with_key(name).status_code for name in OPERATIONS if requires_token(name)}
    assert found == {name: int(success_of(OPERATIONS[name])) if name in WITH_KEYS else 401 for name in found}


def expected_status(name: str, caller: str) -> int:
    """Return the status that the contract promises this caller."""
    operation = OPERATIONS[name]
    if caller == "anonymous" and requires_token(name):
        return 401
    if caller == "a user without scopes" and operation.scopes:
        return 403
    if caller in {"a user without scopes", "another user"} and "{" in operation.path:
        # Another user's resource gets the same response as one that does not exist.
        return 404
    return int(success_of(operation))


class Callers:
    """The callers. Each of them sends the examples of the contract."""

    def __init__(self, client: TestClient, config: Config, database: Database) -> None:
        self.client = client
        self._key: str | None = None
        self._config, self._database = config, database
        self.owner, other = newcomer(client, "bobby"), newcomer(client, "carol")
        tokens = AccessTokenCodec(config.issuer, config.audience, config.client_id, config.access_token_seconds)
        keyring = Keyring(config.secret, config.signing_algorithm, config.access_token_seconds)
        with database.transaction() as db:
            key = keyring.signing(db)
        claims = tokens.decode(other.token, key)
        times = {"ends_at": now() + timedelta(days=1), "authenticated_at": now()}
        scopeless = tokens.encode(key, claims.user_id, claims.session_id, scope="", **times)
        self._tokens = dict(zip(CALLERS[1:], (scopeless, other.token, self.owner.token), strict=True))
        refresh_tokens = (other.refresh_token, other.refresh_token, self.owner.refresh_token)
        self._refresh_tokens = dict(zip(CALLERS[1:], refresh_tokens, strict=True))

    def call(self, name: str, caller: str) -> httpx.Response:
        """Return the response to an operation's example, after the owner has called the operations it depends on."""
        operation = OPERATIONS[name]
        path = operation.path
        body = example_of_body(operation)
        for source, link in prerequisites(name):
            made = self.call(source, "the owner").json()
            for parameter in re.findall("{(.+?)}", path):
                path = path.replace(f"{{{parameter}}}", evaluated(link["parameters"][parameter], made))
            for member, expression in link.get("requestBody", {}).items():
                # The examples already agree on the values that a link copies from the request.
                if expression.startswith("$response"):
                    body = body | {member: evaluated(expression, made)}
        if name in codes.OPERATIONS:
            body = body | {"code": codes.code_for(name, self._config, self._database, self.owner.username)}
        if name == "cancelEmailChange":
            codes.request_changes(self._database)
        headers = {"Authorization": f"Bearer {self._tokens[caller]}"} if caller in self._tokens else {}
        for media_type in (operation.body or {}).get("content", {}):
            headers["Content-Type"] = media_type
        if "refreshCookie" in str(operation.security):
            # No other credential counts.
            headers = {"Sec-Fetch-Site": "same-origin"}
            if caller != "anonymous":
                headers["Cookie"] = f"__Host-charter={self._refresh_tokens[caller]}"
        if name == "logInBrowser":
            headers["Sec-Fetch-Site"] = "same-origin"
        response: httpx.Response = self.client.request(operation.method, path, json=body, headers=headers)
        return response

    def call_with_key(self, name: str) -> httpx.Response:
        """Return the response to an operation's example with an API key of the owner, which has all scopes."""
        if self._key is None:
            self._key = create_key(self.owner, *CONTRACT.roles["user"]).key
        operation = OPERATIONS[name]
        headers = {"Authorization": f"Bearer {self._key}", "Sec-Fetch-Site": "same-origin"}
        # The key is rejected before the path and the body are read.
        response: httpx.Response = self.client.request(operation.method, operation.path, headers=headers)
        return response


def prerequisites(name: str) -> Iterator[tuple[str, Json]]:
    """Yield each operation whose response this one needs, and the link between them (OpenAPI 3.0.3, Link Object)."""
    for source, operation in OPERATIONS.items():
        for link in operation.responses[success_of(operation)].get("links", {}).values():
            if link["operationId"] == name != source and ("requestBody" in link or "{" in OPERATIONS[name].path):
                yield source, link


def example_of_body(operation: Operation) -> Any:
    """Return the example of the request body, or None if the operation has no body."""
    return next(iter(operation.body["content"].values()))["example"] if operation.body else None


def evaluated(expression: str, body: Any) -> str:
    """Return the value that a runtime expression selects from a response body."""
    for step in expression.removeprefix("$response.body#/").split("/"):
        body = body[int(step) if step.isdecimal() else step]
    return str(body)


@pytest.fixture
def callers(client: TestClient, config: Config, database: Database) -> Callers:
    return Callers(client, config, database)
