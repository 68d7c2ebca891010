"""The authorization matrix: derived from the contract, and checked against the running application."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from api import contract
from api.clock import now
from api.config import Config
from api.config.paths import resource_dir
from api.contract import Operation
from api.contract.document.operation import Json
from api.crypto.access_tokens import AccessTokenCodec
from api.services.signing_keys import Keyring
from api.storage.database import Database
from tests.support import codes
from tests.support.person import Person, newcomer
from tests.support.roles import promote
from tests.support.success import success_of
from tests.support.workers import by_hand

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

pytestmark = pytest.mark.usefixtures("all_features")

CALLERS = ("anonymous", "a user without scopes", "another user", "the owner", "support", "an admin")
OWNER = "the owner"
ROLES = {"another user": "user", OWNER: "user", "support": "support", "an admin": "admin"}
"""The roles of the callers that have all scopes of their role."""


def test_every_operation_requires_a_token_unless_listed_as_public() -> None:
    assert {name for name in OPERATIONS if not requires_token(name)} == set(PUBLIC)


def requires_token(name: str) -> bool:
    """Return True if the contract declares a security requirement for this operation."""
    return bool(OPERATIONS[name].security)


# Scopes and owners make no difference to a public operation.
CASES = [
    (name, caller)
    for name in sorted(OPERATIONS)
    for caller in (CALLERS if requires_token(name) else ("anonymous", OWNER))
]


@pytest.mark.parametrize(("name", "caller"), CASES)
def test_each_operation_accepts_only_authorized_callers(callers: "Callers", name: str, caller: str) -> None:
    expected = expected_status(name, caller)
    response = callers.call(name, caller)
    assert response.status_code == expected, response.text
    if expected == 403:
        required = " ".join(OPERATIONS[name].scopes)
        assert response.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{required}"'
    if caller != OWNER and requires_token(name) and is_own(name):
        assert callers.owner.id not in response.text
        assert callers.owner.username not in response.text


def expected_status(name: str, caller: str) -> int:
    """Return the status that the contract promises this caller."""
    operation = OPERATIONS[name]
    if caller == "anonymous" and requires_token(name):
        return 401
    if requires_token(name) and not {*operation.scopes} <= CONTRACT.roles.get(ROLES.get(caller, ""), frozenset()):
        return 403
    if caller != OWNER and is_own(name) and "{" in operation.path:
        # Another user's resource gets the same response as one that does not exist.
        return 404
    return int(success_of(operation))


def is_own(name: str) -> bool:
    """Return True if each user may call an operation, about its own resources."""
    return {*OPERATIONS[name].scopes} <= CONTRACT.roles["user"]


class Callers:
    """The callers. Each of them sends the examples of the contract."""

    def __init__(self, client: TestClient, config: Config, database: Database) -> None:
        self.client = client
        self._config, self._database = config, database
        self.owner, other = newcomer(client, "bobby"), newcomer(client, "carol")
        tokens = AccessTokenCodec(config.issuer, config.audience, config.client_id, config.access_token_seconds)
        keyring = Keyring(config.secret, config.signing_algorithm, config.access_token_seconds)
        with database.transaction() as db:
            key = keyring.signing(db)
        claims = tokens.decode(other.token, key)
        times = {"ends_at": now() + timedelta(days=1), "authenticated_at": now()}
        scopeless = tokens.encode(key, claims.user_id, claims.session_id, scope="", **times)
        self._people = {"another user": other, OWNER: self.owner}
        self._scopeless = replace(other, token=scopeless)

    def person(self, caller: str) -> Person:
        """Return a caller with its tokens. Only those that a test needs are created, because a log-in takes time."""
        if caller == "a user without scopes":
            return self._scopeless
        if caller not in self._people:
            role = ROLES[caller]
            self._people[caller] = promote(self._config, newcomer(self.client, f"{role}9"), role)
        return self._people[caller]

    def call(self, name: str, caller: str) -> httpx.Response:
        """Return the response to an operation's example, after its maker has called the operations it depends on."""
        operation = OPERATIONS[name]
        path = operation.path
        headers = {} if caller == "anonymous" else self.person(caller).headers
        body = example_of_body(operation)
        for source, link in prerequisites(name):
            made = self.call(source, OWNER if is_own(source) else "an admin").json()
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
        if name == "requestDeletion" and caller == "an admin":
            # The only admin must stay.
            promote(self._config, newcomer(self.client, "another9"), "admin")
        if name == "retryMail":
            by_hand(self._config, "UPDATE outbox SET state = 'dead'")
        for media_type in (operation.body or {}).get("content", {}):
            headers["Content-Type"] = media_type
        if "refreshCookie" in str(operation.security):
            # No other credential counts.
            headers = {"Sec-Fetch-Site": "same-origin"}
            if caller != "anonymous":
                headers["Cookie"] = f"__Host-charter={self.person(caller).refresh_token}"
        if name == "logInBrowser":
            headers["Sec-Fetch-Site"] = "same-origin"
        response: httpx.Response = self.client.request(operation.method, path, json=body, headers=headers)
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
