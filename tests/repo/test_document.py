"""The contract as a document: Spectral finds no fault in it, and its examples match the service."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import yaml
from connexion import ConnexionMiddleware
from joserfc import jwt
from joserfc.jwk import KeySet
from starlette.testclient import TestClient

from api import app as charter
from api import contract
from api.config import Config
from api.config.paths import resource_dir
from api.contract.document.model import Contract
from api.contract.document.operation import Json, Operation, resolve
from api.contract.http.framing import HEADER_BYTES
from api.contract.middleware.credentials import MALFORMED_BASIC
from api.contract.schema.formats import STANDARD, format_checker
from api.crypto.refresh_tokens import RefreshTokenFactory
from api.errors import Fault
from api.mailing import make_outbox
from api.storage.database import Database
from tests.repo.test_readme import normalized
from tests.support import codes, own
from tests.support.admins import admin_of
from tests.support.api_keys import create_key
from tests.support.databases import on_sqlite
from tests.support.paths import BIN, CHECKOUT
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import Person, newcomer
from tests.support.roles import promote
from tests.support.scopes import USER_SCOPE
from tests.support.service_accounts import basic, new_service
from tests.support.shipped import CONTRACT, resolved
from tests.support.success import success_of
from tests.support.workers import by_hand
from tests.test_errors import SIGN_UP, catalogue

SHARED = yaml.safe_load((resource_dir("openapi") / "openapi.yaml").read_text())["x-shared"]
RESOLVED = Contract(resolved())
OPERATIONS = {
    operation.id: (operation.path, operation.method, operation.definition) for operation in RESOLVED.operations()
}
FORMATS = format_checker({**STANDARD, **charter.formats(CONTRACT.title)})
NODE = CHECKOUT / "tests/node"


def lint(tmp_path: Path, **documents: Json) -> set[tuple[str, str, str]]:
    """Return the findings of Spectral in several documents, including hints, as (document, rule, path)."""
    files = {name: tmp_path / f"{name}.json" for name in documents}
    for name, document in documents.items():
        files[name].write_text(json.dumps(document))
    command: list[str | Path] = [BIN / "node", NODE / "node_modules/.bin/spectral", "lint", *files.values()]
    command += ["--ruleset", NODE / "spectral.yaml", "--format=json", "--quiet"]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert (result.returncode in {0, 1}, result.stderr) == (True, "")
    return {
        (Path(found["source"]).stem, found["code"], " ".join(map(str, found["path"])))
        for found in json.loads(result.stdout)
    }


def part(*paths: str) -> Any:
    """Return a copy of the contract with these paths, and the components that they use."""
    document = deepcopy(CONTRACT.document) | {
        "paths": {path: deepcopy(CONTRACT.document["paths"][path]) for path in paths}
    }
    kept: dict[str, Json] = {"securitySchemes": document["components"]["securitySchemes"]}
    document["components"], components = kept, document["components"]
    while missing := {found for found in USED.findall(json.dumps(document)) if found[1] not in kept.get(found[0], {})}:
        for kind, name in missing:
            kept.setdefault(kind, {})[name] = components[kind][name]
    return document


USED = re.compile(r'"#/components/(\w+)/([\w.-]+)')
WITHOUT_LIBYAML = """
import sys
sys.modules["yaml._yaml"] = None
import yaml
from api.cli.main import main
assert not yaml.__with_libyaml__
main(["openapi"])
"""


@pytest.mark.slow
def test_the_contract_is_the_same_without_libyaml() -> None:
    command = [sys.executable, "-c", WITHOUT_LIBYAML]
    result = subprocess.run(command, check=True, cwd=CHECKOUT, capture_output=True, timeout=PATIENCE_SECONDS)
    assert json.loads(result.stdout) == contract.published(CONTRACT)


@pytest.mark.slow
def test_spectral_accepts_the_contract_and_rejects_a_broken_one(tmp_path: Path) -> None:
    document = part("/ping", "/api/v1/me")
    # These follow the rule for integers of docs/contract-rules.md.
    integers: Json = {
        "count": {"format": "int64", "minimum": 0},
        "size": {"minimum": 0, "maximum": 9},
        "number": {"format": "int64"},
    }
    document["components"]["schemas"]["User"]["properties"] |= {
        name: {"type": "integer", "description": "An integer.", **limits} for name, limits in integers.items()
    }
    del document["components"]["schemas"]["NewUsername"]["maxLength"]
    document["paths"]["/api/v1/me"]["get"]["security"] = []
    del document["paths"]["/ping"]["get"]["description"]
    assert lint(tmp_path, published=contract.published(CONTRACT), wrong=document) == {
        ("wrong", "operation-description", "paths /ping get"),
        ("wrong", "owasp:api2:2023-read-restricted", "paths /api/v1/me get security"),
        ("wrong", "owasp:api4:2023-string-limit", "components schemas NewUsername"),
    }


def responses() -> Iterator[tuple[str, Json]]:
    """Yield each response as (operation and status, response), also those that no operation has yet."""
    for name, (_, _, operation) in OPERATIONS.items():
        yield from ((f"{name} {status}", response) for status, response in operation["responses"].items())
    for group, shared in SHARED["responses"].items():
        found = {status: resolve(response, RESOLVED.document) for status, response in shared.items()}
        yield from ((f"{group} {status}", response) for status, response in found.items())
    yield from ((f"elsewhere {status}", response) for status, response in RESOLVED.document["x-elsewhere"].items())


def examples(content: Json) -> list[Any]:
    """Return the examples of a body."""
    return [content["example"]] if "example" in content else [one["value"] for one in content["examples"].values()]


RESPONSES = dict(responses())
PROBLEMS = {
    name: examples(response["content"]["application/problem+json"])
    for name, response in RESPONSES.items()
    if "application/problem+json" in response.get("content", {})
}


# The arguments of the error classes that require one.
ARGUMENTS: dict[str, Any] = {
    "BODY_TOO_LARGE": Config.body_bytes,
    "HEADERS_TOO_LARGE": HEADER_BYTES,
    "INSUFFICIENT_SCOPE": ["profile"],
    "METHOD_NOT_ALLOWED": ["GET", "HEAD"],
    "STEP_UP_REQUIRED": 900,
}
HOW_TO_AUTHENTICATE = (
    "the API key in the cookie __Host-charter",
    "Authorization: Basic <credentials>",
    "Authorization: Basic <credentials> or Authorization: Bearer <access_token>",
)


def problems_of(code: str, errors: list[dict[str, str]]) -> list[Json]:
    """Return the problems that the server sends with this code. Some errors differ only in their detail."""
    (error,) = (error for error in catalogue() if error.code == code)
    arguments = ARGUMENTS | {"INVALID_INPUT": [Fault(**fault) for fault in errors]}
    first = error(arguments[code]) if code in arguments else error()
    details = {"MISSING_TOKEN": HOW_TO_AUTHENTICATE, "INVALID_CREDENTIALS": [MALFORMED_BASIC]}.get(code, [])
    others = [error(detail).problem() for detail in details]
    return [first.problem()] + others + [other().problem() for other in error.__subclasses__() if not errors]


@pytest.mark.parametrize("name", PROBLEMS)
def test_error_examples_match_the_responses_of_the_server(name: str) -> None:
    for problem in PROBLEMS[name]:
        members = {member: value for member, value in problem.items() if member != "error"}
        assert members in problems_of(problem["code"], problem.get("errors", []))
        (kind,) = (error for error in catalogue() if error.code == problem["code"])
        assert problem.get("error", kind.oauth_error) == kind.oauth_error
        assert problem["status"] == int(name.split()[1])
    named = re.findall("`([A-Z]+(?:_[A-Z]+)+)`", RESPONSES[name]["description"])
    assert set(named) <= {problem["code"] for problem in PROBLEMS[name]}


def test_every_error_code_has_an_example() -> None:
    shown = {problem["code"] for problems in PROBLEMS.values() for problem in problems}
    assert sorted(shown) == CONTRACT.document["components"]["schemas"]["ProblemCode"]["enum"]


@pytest.fixture
def app(config: Config) -> ConnexionMiddleware:
    """An application for pages of the example of an origin."""
    return charter.create_app(replace(config, cors_origins=("https://app.example.com",)))


@on_sqlite
def test_the_example_of_invalid_input_matches_the_server(client: TestClient) -> None:
    response = client.post(SIGN_UP, json=request_example("signUp") | {"username": "bob"})
    assert response.json() in PROBLEMS["signUp 400"]


def request_example(name: str) -> Json:
    """Return the example of the request body of an operation."""
    (content,) = OPERATIONS[name][2]["requestBody"]["content"].values()
    return dict(content["example"])


def prepare_log(config: Config, person: Person, query: dict[str, str]) -> dict[str, str]:
    """Let a user read the audit log, add the event of the example, and return the filter for it."""
    promote(config, person, "support")
    person.client.post("/api/v1/auth/login", json={"username": person.username, "password": "wrong"})
    # The user and the times of the example are others.
    return {"event": query["event"]}


def needs_nothing(path: str, method: str, operation: Json) -> bool:
    """Return False for path parameters and your own lists, whose resources would have to exist, and for files."""
    is_file = any("example" not in content for content in operation.get("requestBody", {}).get("content", {}).values())
    return "{" not in path and not is_file and (method != "get" or operation["tags"][0] not in own.TAGS)


@pytest.mark.usefixtures("all_features", "still")
@pytest.mark.parametrize("name", [name for name, place in OPERATIONS.items() if needs_nothing(*place)])
def test_response_examples_match_the_server(config: Config, database: Database, client: TestClient, name: str) -> None:
    path, method, operation = OPERATIONS[name]
    client.headers["User-Agent"] = "curl/8.5.0"
    alice = Person(client, "alice") if name in {"signUp", codes.SIGN_UP} else newcomer(client, "alice")
    if name == "listMails":
        prepare_list(config, database, alice)
    if not {*operation.get("x-scopes", [])} <= CONTRACT.roles["user"]:
        alice = admin_of(config, client)
    own = {"refresh_token": alice.refresh_token}
    if name == codes.SIGN_UP:
        own["code"] = codes.sign_up_code(config, database, alice.email)
    elif name in codes.OPERATIONS:
        own["code"] = codes.code_for(name, config, database, "alice")
    elif name == "cancelEmailChange":
        codes.request_changes(database)
    elif name == "listApiKeys":
        create_key(alice, "profile")
    body = (
        {key: own.get(key, value) for key, value in request_example(name).items()}
        if "requestBody" in operation
        else None
    )
    shown = [parameter for parameter in operation.get("parameters", []) if "example" in parameter]
    query, headers = (
        {parameter["name"]: parameter["example"] for parameter in shown if parameter["in"] == place}
        for place in ("query", "header")
    )
    if name == "listEvents":
        query = prepare_log(config, alice, query)
    for media_type in operation.get("requestBody", {}).get("content", {}):
        headers["Content-Type"] = media_type
    headers = alice.headers | headers | credentials(operation, config, alice)
    is_form = "urlencoded" in headers.get("Content-Type", "")
    sent: dict[str, Any] = {"data" if is_form else "json": body}
    response = client.request(method, path, params=query, headers=headers, **sent)
    assert response.status_code == int(success_of(Operation(path, method, operation, RESOLVED.document)))
    compare_with_examples(name, response)


def compare_with_examples(name: str, response: httpx.Response) -> None:
    """Compare a response with the examples of its operation."""
    for media_type, content in RESPONSES[f"{name} {response.status_code}"].get("content", {}).items():
        if content["schema"].get("format") == "binary":
            continue
        if media_type.startswith("text/"):
            assert content["example"] in response.text
            continue
        parts = [content["schema"], *content["schema"].get("properties", {}).values()]
        is_open = any(part.get("additionalProperties") for part in parts)
        for example in examples(content):
            actual = excerpt(response.json(), example) if is_open else response.json()
            assert normalized(json.dumps(actual)) == normalized(json.dumps(example))


def prepare_list(config: Config, database: Database, alice: Person) -> None:
    """Add the mail of the example, which is the only one."""
    with database.transaction() as db:
        make_outbox(config).add(db, "reset_password", alice.email, timedelta(hours=1), user_id=UUID(alice.id))
    by_hand(config, "DELETE FROM outbox WHERE template <> 'reset_password'")
    by_hand(config, "UPDATE outbox SET state = 'dead', attempts = 1, error = '550 No such mailbox'")


def credentials(operation: Json, config: Config, person: Person) -> dict[str, str]:
    """Return the header of a credential that is not an access token, if the operation requires one."""
    if "refreshCookie" in str(operation.get("security")):
        return {"Cookie": f"__Host-charter={person.refresh_token}"}
    return basic(new_service(config)) if operation.get("security") == [{"client": []}] else {}


# The claims that differ between access tokens.
VARYING_CLAIMS = {"sub", "sid", "jti", "iat", "exp", "auth_time"}


def test_the_example_tokens_verify_with_the_example_keys(client: TestClient, alice: Person) -> None:
    real = jwt.decode(alice.token, KeySet.import_key_set(client.get("/.well-known/jwks.json").json()))
    keys = KeySet.import_key_set(response_example("getSigningKeys"))
    logged_in = jwt.decode(response_example("logIn")["access_token"], keys).claims["iat"]
    for pair in (response_example("logIn"), response_example("refreshTokens")):
        token = jwt.decode(pair["access_token"], keys)
        assert token.header == real.header | {"kid": keys.keys[0].kid}
        varying = {name: token.claims[name] for name in VARYING_CLAIMS}
        assert token.claims == real.claims | varying | {"scope": pair["scope"]}
        assert real.claims["scope"] == USER_SCOPE
        assert token.claims["auth_time"] == logged_in
        assert token.claims["exp"] - token.claims["iat"] == pair["expires_in"]
        assert token.claims["sub"] == response_example("getProfile")["id"]
        assert token.claims["sid"] == response_example("listSessions")["items"][0]["id"]


def test_the_example_refresh_tokens_belong_to_one_session() -> None:
    first, second = response_example("logIn")["refresh_token"], response_example("refreshTokens")["refresh_token"]
    assert first == request_example("refreshTokens")["refresh_token"] != second
    family = RefreshTokenFactory(bytes(32)).family
    assert family(first) == family(second)


def response_example(name: str) -> Any:
    """Return the example of the 200 response of an operation."""
    return RESPONSES[f"{name} 200"]["content"]["application/json"]["example"]


def excerpt(value: Any, example: Any) -> Any:
    """Return the members of a value that the example has."""
    return {name: excerpt(value[name], part) for name, part in example.items()} if isinstance(example, dict) else value
