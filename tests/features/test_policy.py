"""Who may do what: the authorization matrix, made from the contract and asked of the running application."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from api import contract
from api.clock import now
from api.config import Config
from api.config.paths import resource_dir
from api.contract.document.model import Json, security_of
from api.crypto.access_tokens import AccessTokenCodec
from api.crypto.signing_keys import KeyCipher
from api.services.signing_keys import Keyring
from api.storage.database import Database
from tests.support.person import newcomer

CONTRACT = contract.load(resource_dir("openapi"))
OPERATIONS = {operation["operationId"]: (path, method, operation) for path, method, operation in CONTRACT.operations()}
# Who may be called by anybody, each with a reason: the law is that a token is asked for.
PUBLIC = {
    "checkReadiness": "a readiness probe has no token",
    "getContract": "who has no token yet learns here how to get one",
    "getSigningKeys": "who verifies tokens needs none",
    "logIn": "it is the way to a token",
    "ping": "a liveness probe has no token",
    "refreshTokens": "it is asked when the access token has expired",
    "signUp": "it is the way to a user",
}
CALLERS = ("a stranger", "a user without scopes", "another user", "the owner")


def test_every_operation_asks_for_a_token_but_those_with_a_reason_not_to() -> None:
    assert {name for name in OPERATIONS if not asks_for_a_token(name)} == set(PUBLIC)


def asks_for_a_token(name: str) -> bool:
    """Whether the contract names a security for this operation."""
    return bool(security_of(OPERATIONS[name][2], CONTRACT.document))


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_who_may_call_what(people: "People", name: str, caller: str) -> None:
    expected = expected_status(name, caller)
    answer = people.call(name, caller)
    assert answer.status_code == expected, answer.text
    if expected == 403:
        required = " ".join(OPERATIONS[name][2]["x-scopes"])
        assert answer.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{required}"'
    if caller != "the owner" and asks_for_a_token(name):
        assert people.owner.id not in answer.text
        assert people.owner.username not in answer.text


def expected_status(name: str, caller: str) -> int:
    """What the contract says of this caller."""
    path, _, operation = OPERATIONS[name]
    if caller == "a stranger" and asks_for_a_token(name):
        return 401
    if caller == "a user without scopes" and "x-scopes" in operation:
        return 403
    if caller in {"a user without scopes", "another user"} and "{" in path:
        # What belongs to another is not there, like what nobody has.
        return 404
    return int(contract.success(operation))


class People:
    """The callers, and what each of them sends: the examples of the contract."""

    def __init__(self, client: TestClient, config: Config, database: Database) -> None:
        self.client = client
        self.owner, other = newcomer(client, "bobby"), newcomer(client, "carol")
        tokens = AccessTokenCodec(config.issuer, config.audience, config.access_token_seconds)
        keyring = Keyring(KeyCipher(config.secret), config.signing_algorithm, config.access_token_seconds)
        with database.transaction() as db:
            key = keyring.signing(db)
        claims = tokens.decode(other.token, key)
        ends_at = now() + timedelta(days=1)
        scopeless = tokens.encode(key, claims.user_id, claims.session_id, scope="", ends_at=ends_at)
        self._tokens = dict(zip(CALLERS[1:], (scopeless, other.token, self.owner.token), strict=True))

    def call(self, name: str, caller: str) -> httpx.Response:
        """An operation's answer to its example, after the owner has done what leads there."""
        path, method, operation = OPERATIONS[name]
        body = example_of_body(operation)
        for source, link in leading_to(name):
            made = self.call(source, "the owner").json()
            for parameter in re.findall("{(.+?)}", path):
                path = path.replace(f"{{{parameter}}}", evaluated(link["parameters"][parameter], made))
            for member, expression in link.get("requestBody", {}).items():
                # What it takes of the request, the examples have in common.
                if expression.startswith("$response"):
                    body = body | {member: evaluated(expression, made)}
        headers = {"Authorization": f"Bearer {self._tokens[caller]}"} if caller in self._tokens else {}
        answer: httpx.Response = self.client.request(method, path, json=body, headers=headers)
        return answer


def leading_to(name: str) -> Iterator[tuple[str, Json]]:
    """Each operation whose answer this one needs, and the link that says what of it (OpenAPI 3.0.3, Link Object)."""
    path, _, _ = OPERATIONS[name]
    for source, (_, _, operation) in OPERATIONS.items():
        for link in operation["responses"][contract.success(operation)].get("links", {}).values():
            if link["operationId"] == name != source and ("requestBody" in link or "{" in path):
                yield source, link


def example_of_body(operation: Json) -> Any:
    """What the contract shows being sent, or None."""
    return operation["requestBody"]["content"]["application/json"]["example"] if "requestBody" in operation else None


def evaluated(expression: str, body: Any) -> str:
    """What a runtime expression names in the body of an answer."""
    for step in expression.removeprefix("$response.body#/").split("/"):
        body = body[int(step) if step.isdecimal() else step]
    return str(body)


@pytest.fixture
def people(client: TestClient, config: Config, database: Database) -> People:
    return People(client, config, database)
