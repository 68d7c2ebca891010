"""The contract as a document: linted by Spectral, and its examples are what happens."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from connexion.json_schema import Draft4ResponseValidator, resolve_refs
from joserfc import jwt
from joserfc.jwk import KeySet
from starlette.testclient import TestClient

from api import app, contract
from api.config import Config
from api.config.paths import resource_dir
from api.contract.document.model import Contract, Json, success
from api.contract.http.framing import HEADER_BYTES
from api.contract.schema.formats import STANDARD, format_checker
from api.crypto.refresh_tokens import RefreshTokenFactory
from api.errors import Fault
from tests.repo.test_architecture import schemas
from tests.repo.test_readme import normal
from tests.support.paths import BIN, CHECKOUT
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import Person, newcomer
from tests.test_errors import SIGN_UP, catalogue

CONTRACT = contract.load(resource_dir("openapi"))
RESOLVED = Contract(resolve_refs(CONTRACT.document))
OPERATIONS = {operation["operationId"]: (path, method, operation) for path, method, operation in RESOLVED.operations()}
FORMATS = format_checker({**STANDARD, **app.formats(CONTRACT.title)})
NODE = CHECKOUT / "tests/node"


def lint(document: Json, tmp_path: Path) -> set[tuple[str, str]]:
    """What Spectral finds in a document, down to mere hints: the rules, and where they are broken."""
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    command: list[str | Path] = [BIN / "node", NODE / "node_modules/.bin/spectral", "lint", file]
    command += ["--ruleset", NODE / "spectral.yaml", "--format=json", "--quiet"]
    told = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert (told.returncode in {0, 1}, told.stderr) == (True, "")
    return {(found["code"], " ".join(map(str, found["path"]))) for found in json.loads(told.stdout)}


WITHOUT_LIBYAML = """
import sys
sys.modules["yaml._yaml"] = None
import yaml
from api.cli.main import main
assert not yaml.__with_libyaml__
main(["openapi"])
"""


def test_where_yaml_comes_without_libyaml_the_contract_is_the_same() -> None:
    command = [sys.executable, "-c", WITHOUT_LIBYAML]
    told = subprocess.run(command, check=True, cwd=CHECKOUT, capture_output=True, timeout=PATIENCE_SECONDS)
    assert json.loads(told.stdout) == CONTRACT.document


@pytest.mark.slow
def test_spectral_finds_nothing(tmp_path: Path) -> None:
    assert lint(CONTRACT.document, tmp_path) == set()


@pytest.mark.slow
def test_spectral_would_find_what_its_two_rulesets_are_about(tmp_path: Path) -> None:
    document: Any = deepcopy(CONTRACT.document)
    del document["components"]["schemas"]["NewUser"]["properties"]["username"]["maxLength"]
    document["paths"]["/api/v1/me"]["get"]["security"] = []
    del document["paths"]["/ping"]["get"]["description"]
    assert lint(document, tmp_path) == {
        ("operation-description", "paths /ping get"),
        ("owasp:api2:2023-read-restricted", "paths /api/v1/me get security"),
        ("owasp:api4:2023-string-limit", "components schemas NewUser properties username"),
    }


def answers() -> Iterator[tuple[str, Json]]:
    """Each answer of the contract, as (whose it is and which, response)."""
    for name, (_, _, operation) in OPERATIONS.items():
        yield from ((f"{name} {status}", answer) for status, answer in operation["responses"].items())
    yield from ((f"elsewhere {status}", answer) for status, answer in RESOLVED.document["x-elsewhere"].items())


def examples(content: Json) -> list[Any]:
    """The examples of a body."""
    return [content["example"]] if "example" in content else [one["value"] for one in content["examples"].values()]


ANSWERS = dict(answers())
PROBLEMS = {
    name: examples(answer["content"]["application/problem+json"])
    for name, answer in ANSWERS.items()
    if "application/problem+json" in answer.get("content", {})
}


# A cursor is good for one user alone, and Swagger UI would send the example of one for everybody.
def test_every_body_parameter_and_header_has_an_example_but_the_cursor() -> None:
    requests = {
        name: operation["requestBody"] for name, (*_, operation) in OPERATIONS.items() if "requestBody" in operation
    }
    for name, body in (ANSWERS | requests).items():
        assert all(examples(content) for content in body.get("content", {}).values()), name
    for name, answer in ANSWERS.items():
        assert all("example" in header["schema"] for header in answer["headers"].values()), name
    for name, (*_, operation) in OPERATIONS.items():
        parameters = [parameter for parameter in operation.get("parameters", []) if parameter["name"] != "cursor"]
        assert all("example" in parameter["schema"] for parameter in parameters), name


def test_every_example_is_what_its_schema_says() -> None:
    found = 0
    for part in schemas(RESOLVED.document):
        schema = part.get("schema", part)
        if ("example" in part or "examples" in part) and isinstance(schema, dict):
            for example in examples(part):
                Draft4ResponseValidator(schema, format_checker=FORMATS).validate(example)
                found += 1
    assert found > 100


# What an error is about, where its class does not say it.
ABOUT: dict[str, Any] = {
    "BODY_TOO_LARGE": Config.body_bytes,
    "HEADERS_TOO_LARGE": HEADER_BYTES,
    "INSUFFICIENT_SCOPE": ["profile"],
    "METHOD_NOT_ALLOWED": ["GET", "HEAD"],
}


def said(code: str, errors: list[dict[str, str]]) -> Json:
    """What the server says with this code."""
    (error,) = (error for error in catalogue() if error.code == code)
    about = ABOUT | {"INVALID_INPUT": [Fault(**fault) for fault in errors]}
    return (error(about[code]) if code in about else error()).problem()


@pytest.mark.parametrize("name", PROBLEMS)
def test_an_example_of_an_error_is_what_the_server_says_and_every_code_has_one(name: str) -> None:
    for problem in PROBLEMS[name]:
        assert problem == said(problem["code"], problem.get("errors", []))
        assert problem["status"] == int(name.split()[1])
    named = re.findall("`([A-Z]+(?:_[A-Z]+)+)`", ANSWERS[name]["description"])
    assert set(named) <= {problem["code"] for problem in PROBLEMS[name]}


def test_every_code_is_in_an_example() -> None:
    shown = {problem["code"] for problems in PROBLEMS.values() for problem in problems}
    assert sorted(shown) == CONTRACT.document["components"]["schemas"]["ProblemCode"]["enum"]


def test_the_example_of_a_fault_is_what_a_sign_up_as_bob_is_answered(client: TestClient) -> None:
    answer = client.post(SIGN_UP, json=sent("signUp") | {"username": "bob"})
    assert answer.json() in PROBLEMS["signUp 400"]


def sent(name: str) -> Json:
    """The example of what an operation is sent."""
    content: Json = OPERATIONS[name][2]["requestBody"]["content"]["application/json"]
    return dict(content["example"])


@pytest.mark.usefixtures("still")
# What has something in its path needs that to be there first.
@pytest.mark.parametrize("name", [name for name, (path, *_) in OPERATIONS.items() if "{" not in path])
def test_an_example_of_an_answer_is_what_the_server_answers(client: TestClient, name: str) -> None:
    path, method, operation = OPERATIONS[name]
    client.headers["User-Agent"] = "curl/8.5.0"
    alice = Person(client, "alice") if name == "signUp" else newcomer(client, "alice")
    own = {"refresh_token": alice.refresh_token}
    body = {key: own.get(key, value) for key, value in sent(name).items()} if "requestBody" in operation else None
    shown = [parameter for parameter in operation.get("parameters", []) if "example" in parameter["schema"]]
    query = {parameter["name"]: parameter["schema"]["example"] for parameter in shown}
    answer = client.request(method, path, params=query, json=body, headers=alice.headers)
    assert answer.status_code == int(success(operation))
    for content in ANSWERS[f"{name} {answer.status_code}"].get("content", {}).values():
        is_open = content["schema"].get("additionalProperties")
        for example in examples(content):
            told = excerpt(answer.json(), example) if is_open else answer.json()
            assert normal(json.dumps(told)) == normal(json.dumps(example))


# What differs from one access token to the next.
OWN = {"sub", "sid", "jti", "iat", "exp"}


def test_the_tokens_of_the_examples_verify_with_the_keys_of_the_examples(client: TestClient, alice: Person) -> None:
    real = jwt.decode(alice.token, KeySet.import_key_set(client.get("/.well-known/jwks.json").json()))
    keys = KeySet.import_key_set(answered("getSigningKeys"))
    for pair in (answered("logIn"), answered("refreshTokens")):
        token = jwt.decode(pair["access_token"], keys)
        assert token.header == real.header | {"kid": keys.keys[0].kid}
        assert token.claims == real.claims | {name: token.claims[name] for name in OWN}
        assert token.claims["exp"] - token.claims["iat"] == pair["expires_in"]
        assert token.claims["sub"] == answered("getProfile")["id"]
        assert token.claims["sid"] == answered("listSessions")["items"][0]["id"]


def test_the_refresh_tokens_of_the_examples_are_those_of_one_session() -> None:
    first, second = answered("logIn")["refresh_token"], answered("refreshTokens")["refresh_token"]
    assert first == sent("refreshTokens")["refresh_token"] != second
    family = RefreshTokenFactory(bytes(32)).family
    assert family(first) == family(second)


def answered(name: str) -> Any:
    """The example of what an operation answers when all is well."""
    return ANSWERS[f"{name} 200"]["content"]["application/json"]["example"]


def excerpt(value: Any, example: Any) -> Any:
    """As much of a value as an example shows."""
    return {name: excerpt(value[name], part) for name, part in example.items()} if isinstance(example, dict) else value
