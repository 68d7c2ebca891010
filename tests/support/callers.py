"""The callers of the authorization matrix, and the requests that they send."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import Any, NamedTuple

import httpx
from starlette.testclient import TestClient

from api.clock import now
from api.config import Config
from api.contract import Operation
from api.contract.document.operation import Json, resolve
from api.crypto.access_tokens import AccessTokenCodec
from api.crypto.signing_keys import SigningKey
from api.services.service_accounts import NewSecret
from api.services.signing_keys import Keyring
from api.storage.database import Database
from tests.support import codes, own
from tests.support.api_keys import create_key
from tests.support.person import Person, newcomer
from tests.support.roles import make_admin, promote
from tests.support.service_accounts import SERVICE_SCOPES, basic, new_service
from tests.support.shipped import CONTRACT
from tests.support.success import success_of
from tests.support.workers import by_hand

OPERATIONS = {operation.id: operation for operation in CONTRACT.operations()}
FORM = "application/x-www-form-urlencoded"

ANONYMOUS, OWNER, SERVICE = "anonymous", "the owner", "a service account"
ROLES = {"another user": "user", OWNER: "user", "support": "support", "an admin": "admin"}
"""The roles of the callers that have all scopes of their role."""


def accepts(name: str, scheme: str) -> bool:
    """Return True if a security scheme is one of those that an operation accepts."""
    return any(scheme in requirement for requirement in OPERATIONS[name].security)


def is_own(name: str) -> bool:
    """Return True if each user may call an operation, about its own resources."""
    return {*OPERATIONS[name].scopes} <= CONTRACT.roles["user"]


class Made(NamedTuple):
    """The parts of a call that links can copy: the path parameters of the request, and the JSON of the response."""

    path: dict[str, str]
    body: Json


class Callers:
    """The callers. Each of them sends the examples of the contract."""

    def __init__(self, client: TestClient, config: Config, database: Database) -> None:
        self.client = client
        self._key: str | None = None
        self._made: dict[str, Made] = {}
        self._config, self._database = config, database
        self.owner = newcomer(client, "bobby")
        self._people = {OWNER: self.owner}
        self._tokens = AccessTokenCodec(config.issuer, config.audience, config.client_id, config.access_token_seconds)

    @cached_property
    def _another(self) -> Person:
        return newcomer(self.client, "carol")

    @cached_property
    def _service(self) -> NewSecret:
        return new_service(self._config, "reporting")

    @cached_property
    def _signing_key(self) -> SigningKey:
        keyring = Keyring(self._config.secret, self._config.signing_algorithm, self._config.access_token_seconds)
        with self._database.transaction() as db:
            return keyring.signing(db)

    @cached_property
    def _scopeless(self) -> Person:
        claims = self._tokens.decode(self._another.token, self._signing_key)
        assert claims.session_id is not None
        times = {"ends_at": now() + timedelta(days=1), "authenticated_at": now()}
        scopeless = self._tokens.encode(self._signing_key, claims.subject, claims.session_id, scope="", **times)
        return replace(self._another, token=scopeless)

    @cached_property
    def _of_service(self) -> str:
        scope = " ".join(SERVICE_SCOPES)
        return self._tokens.encode_for_service(self._signing_key, self._service.client_id, scope)

    def check_privacy(self, response: httpx.Response) -> None:
        """Check that a response to another caller contains neither the owner nor the resources of the owner."""
        made = {made.body["id"] for name, made in self._made.items() if is_own(name) and "id" in made.body}
        for value in {self.owner.id, self.owner.username} | made:
            assert value not in response.text, f"the response shows another user's data: {value}"

    def person(self, caller: str) -> Person:
        """Return a caller with its tokens. Only those that a test needs are created, because a log-in takes time."""
        if caller == "a user without scopes":
            return self._scopeless
        if caller == "another user":
            return self._another
        if caller not in self._people:
            role = ROLES[caller]
            self._people[caller] = promote(self._config, newcomer(self.client, f"{role}9"), role)
        return self._people[caller]

    def headers(self, name: str, caller: str) -> dict[str, str]:
        """Return the credential that a caller sends to an operation."""
        if accepts(name, "refreshCookie"):
            # No other credential counts.
            has_cookie = caller not in {ANONYMOUS, SERVICE}
            cookie = {"Cookie": f"__Host-charter={self.person(caller).refresh_token}"} if has_cookie else {}
            return {"Sec-Fetch-Site": "same-origin"} | cookie
        if caller == SERVICE:
            is_client = accepts(name, "client") and not accepts(name, "bearer")
            return basic(self._service) if is_client else {"Authorization": f"Bearer {self._of_service}"}
        return {} if caller == ANONYMOUS else self.person(caller).headers

    def call(self, name: str, caller: str) -> httpx.Response:
        """Return the response to an operation's example, after its maker has called the operations it depends on."""
        if caller != OWNER and (creation := creation_of(name)):
            self._made_by(creation)
        return self._send(name, caller, self.headers(name, caller))

    def _send(self, name: str, caller: str, headers: dict[str, str]) -> httpx.Response:
        operation = OPERATIONS[name]
        path, body = operation.path, example_of_body(operation)
        parameters, members = self._linked(name)
        for parameter, value in parameters.items():
            path = path.replace(f"{{{parameter}}}", value)
        if members:
            body = body | members
        if name in codes.OPERATIONS:
            body = body | {"code": codes.code_for(name, self._config, self._database, self.owner.username)}
        if name == "cancelEmailChange":
            codes.request_changes(self._database)
        if name == "requestDeletion" and caller == "an admin":
            # The only admin must stay.
            make_admin(self._config, self._another.username)
        if name == "retryMail":
            by_hand(self._config, "UPDATE outbox SET state = 'dead'")
        for media_type in (operation.body or {}).get("content", {}):
            headers["Content-Type"] = media_type
        if name == "logInBrowser":
            headers["Sec-Fetch-Site"] = "same-origin"
        kind = "data" if headers.get("Content-Type") == FORM else "content" if isinstance(body, bytes) else "json"
        response: httpx.Response = self.client.request(operation.method, path, headers=headers, **{kind: body})
        return response

    def _linked(self, name: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return the path parameters and the members of the body that links copy from other operations."""
        path = OPERATIONS[name].path
        parameters, members = {}, {}
        for source, link in prerequisites(name):
            made = self._made_by(source)
            for parameter, expression in link.get("parameters", {}).items():
                if f"{{{parameter}}}" in path:
                    parameters[parameter] = evaluated(expression, made)
            for member, expression in link.get("requestBody", {}).items():
                # The examples already agree on the values that a link copies from the request.
                if expression.startswith("$response"):
                    members[member] = evaluated(expression, made)
        return parameters, members

    def _made_by(self, name: str) -> Made:
        """Call an operation that other operations depend on, once, and return what links can copy from it."""
        if name not in self._made:
            response = self.call(name, OWNER if is_own(name) else "an admin")
            is_json = "json" in response.headers.get("content-type", "")
            self._made[name] = Made(self._linked(name)[0], response.json() if is_json else {})
        return self._made[name]

    def call_with_key(self, name: str, *, accepted: bool) -> httpx.Response:
        """Return the response to an operation's example with an API key of the owner, which has all scopes.

        Without `accepted`, the path and the body are not filled in, because the key is rejected before they are read.
        """
        if self._key is None:
            self._key = create_key(self.owner, *CONTRACT.roles["user"]).key
        headers = {"Authorization": f"Bearer {self._key}", "Sec-Fetch-Site": "same-origin"}
        if accepted:
            return self._send(name, OWNER, headers)
        operation = OPERATIONS[name]
        response: httpx.Response = self.client.request(operation.method, operation.path, headers=headers)
        return response


def prerequisites(name: str) -> Iterator[tuple[str, Json]]:
    """Yield each operation whose response this one needs, and the link between them (OpenAPI 3.0.3, Link Object)."""
    for source, operation in OPERATIONS.items():
        for link in operation.responses[success_of(operation)].get("links", {}).values():
            if link["operationId"] == name != source and ("requestBody" in link or "{" in OPERATIONS[name].path):
                yield source, link


def creation_of(name: str) -> str | None:
    """Return the operation by which users add to the list that an operation returns, or None."""
    operation = OPERATIONS[name]
    is_list = operation.method == "get" and is_own(name)
    at_path = [other for other in OPERATIONS.values() if (other.method, other.path) == ("post", operation.path)]
    found = [other.id for other in at_path if is_own(other.id) and success_of(other) == "201"]
    return found[0] if is_list and found else None


def example_of_body(operation: Operation) -> Any:
    """Return the bytes in own.py or the first example of the request body, or None if the operation has no body."""
    if operation.id in own.BODIES or operation.body is None:
        return own.BODIES.get(operation.id)
    media_type, content = next(iter(operation.body["content"].items()))
    assert "json" in media_type or media_type == FORM, f"add {operation.id} to BODIES in tests/support/own.py"
    if "examples" in content:
        return resolve(next(iter(content["examples"].values())), operation.document)["value"]
    return content["example"]


def evaluated(expression: str, made: Made) -> str:
    """Return the value that a runtime expression selects from a path parameter or a response body."""
    if expression.startswith("$request.path."):
        return made.path[expression.removeprefix("$request.path.")]
    value: Any = made.body
    for step in expression.removeprefix("$response.body#/").split("/"):
        value = value[int(step) if step.isdecimal() else step]
    return str(value)
