"""A change of the contract that breaks clients requires a new version."""

import json
import re
from copy import deepcopy
from typing import Any

import pytest
import yaml

from api import contract
from api.config.paths import resource_dir
from api.contract.document.operation import Json
from tests.support.breaking import breaks, may_break
from tests.support.paths import CHECKOUT

RELEASED: Json = json.loads((CHECKOUT / "openapi/released.json").read_text())
TREES: Json = yaml.safe_load("""
openapi: 3.0.3
info: {title: Trees, version: 1.0.0}
servers: [{url: /}]
security: [{bearer: []}]
x-elsewhere:
  '404': {$ref: '#/components/responses/NotFound'}
paths:
  /trees:
    post:
      tags: [trees]
      operationId: plantTree
      summary: Plant a tree
      security: [{bearer: []}, {key: []}]
      x-scopes: [garden]
      x-body-bytes: 4096
      parameters:
        - {name: depth, in: query, schema: {type: integer, minimum: 1, maximum: 9, default: 3}}
      requestBody:
        required: false
        content:
          application/json: {schema: {$ref: '#/components/schemas/NewTree'}}
          application/xml: {schema: {$ref: '#/components/schemas/NewTree'}}
      responses:
        '201':
          description: The tree.
          headers:
            Location: {required: true, schema: {type: string, maxLength: 80}}
          content:
            application/json: {schema: {$ref: '#/components/schemas/Tree'}}
        '404': {$ref: '#/components/responses/NotFound'}
  /sky:
    get:
      tags: [sky]
      operationId: lookUp
      security: []
      responses:
        '204': {description: The sky exists.}
components:
  securitySchemes:
    bearer: {type: http, scheme: bearer}
    key: {type: apiKey, in: header, name: Key}
  responses:
    NotFound:
      description: The tree does not exist.
      content:
        application/problem+json: {schema: {$ref: '#/components/schemas/Problem'}}
  schemas:
    NewTree:
      type: object
      required: [name]
      additionalProperties: false
      properties:
        name: {type: string, minLength: 2, maxLength: 80}
        kind: {type: string, enum: [oak, elm]}
        age: {type: integer, minimum: 0, maximum: 999}
        branches: {type: array, maxItems: 9, items: {$ref: '#/components/schemas/NewTree'}}
        labels: {type: object, additionalProperties: {type: string, maxLength: 9}}
        place: {anyOf: [{type: string}, {type: integer}]}
    Tree:
      type: object
      required: [name]
      additionalProperties: false
      properties:
        name: {type: string, minLength: 2, maxLength: 80, pattern: '^[a-z]+$'}
        kind: {type: string, enum: [oak, elm]}
        age: {type: integer, minimum: 0, maximum: 999, format: int32}
        rings: {type: array, items: {type: integer}}
        parent: {$ref: '#/components/schemas/Tree'}
    Problem:
      type: object
      properties:
        code: {type: string, enum: [NOT_FOUND], x-may-grow: true}
""")
GONE = object()
PLANT, LOOK = "POST /trees", "GET /sky"
REQUEST, RESPONSE = f"{PLANT}: request body", f"{PLANT}: answer 201"
plant, look = "paths /trees post", "paths /sky get"
new_tree, tree = "components schemas NewTree", "components schemas Tree"
FINE = {"204": {"description": "Fine."}}
OAK = {"type": "string", "enum": ["oak", "elm", "ash"]}


def changed(address: str, value: Any) -> Any:
    """Return a copy of the contract with another value at an address, or without that address."""
    document: Any = deepcopy(TREES)
    *steps, last = (int(step) if len(step) == 1 else step for step in address.split())
    node = document
    for step in steps:
        node = node[step]
    if value is GONE:
        del node[last]
    else:
        node[last] = value
    return document


@pytest.mark.parametrize(
    ("address", "value", "line"),
    [
        ("servers 0 url", "/v2", "server /: it is gone"),
        ("paths /sky", GONE, f"{LOOK}: it is gone"),
        (look, GONE, f"{LOOK}: it is gone"),
        (f"{look} operationId", "gaze", f"{LOOK}: operationId went from lookUp to gaze"),
        (f"{look} tags", ["air"], f"{LOOK}: tags went from ['sky'] to ['air']"),
        # Authorization.
        (f"{look} security", GONE, f"{LOOK}: security: nothing no longer suffices"),
        (f"{plant} security", [{"bearer": []}], f"{PLANT}: security: key no longer suffices"),
        (f"{plant} security 1", {"key": [], "bearer": []}, f"{PLANT}: security: key no longer suffices"),
        (f"{plant} security 1 key", ["write"], f"{PLANT}: security: key no longer suffices"),
        (f"{plant} x-scopes", ["garden", "spade"], f"{PLANT}: security: the scope spade is now needed"),
        (f"{look} x-scopes", ["stars"], f"{LOOK}: security: the scope stars is now needed"),
        ("components securitySchemes key name", "X-Key", "security scheme key: name went from Key to X-Key"),
        # Requests.
        (f"{plant} parameters", GONE, f"{PLANT}: query parameter depth: it is gone"),
        (f"{plant} parameters 0 required", True, f"{PLANT}: query parameter depth: it is required"),
        (f"{plant} parameters 0 in", "header", f"{PLANT}: query parameter depth: it is gone"),
        (f"{plant} parameters 0 schema maximum", 8, f"{PLANT}: query parameter depth: maximum went from 9 to 8"),
        (f"{plant} parameters 0 schema default", 2, f"{PLANT}: query parameter depth: default went from 3 to 2"),
        (
            f"{plant} parameters 0 schema default",
            GONE,
            f"{PLANT}: query parameter depth: default went from 3 to nothing",
        ),
        (f"{plant} parameters 0 style", "x", f"{PLANT}: query parameter depth: style went from nothing to x"),
        (
            f"{look} parameters",
            [{"name": "Hat", "in": "header", "required": True, "schema": {}}],
            f"{LOOK}: header parameter Hat: it is required",
        ),
        (f"{look} requestBody", {"required": True, "content": {}}, f"{LOOK}: request body: it is required"),
        (f"{plant} requestBody required", True, f"{REQUEST}: it is required"),
        (f"{plant} requestBody content application/xml", GONE, f"{REQUEST}: application/xml is gone"),
        (f"{look} x-body-bytes", 1024, f"{LOOK}: x-body-bytes went from nothing to 1024"),
        (f"{plant} x-body-bytes", 1024, f"{PLANT}: x-body-bytes went from 4096 to 1024"),
        (f"{plant} x-body-bytes", GONE, f"{PLANT}: x-body-bytes went from 4096 to nothing"),
        (f"{new_tree} required", ["name", "kind"], f"{REQUEST}: /kind: it is required"),
        (f"{new_tree} properties age", GONE, f"{REQUEST}: /age: it is gone"),
        (f"{new_tree} properties age type", "string", f"{REQUEST}: /age: type went from integer to string"),
        (f"{new_tree} properties age minimum", 1, f"{REQUEST}: /age: minimum went from 0 to 1"),
        (f"{new_tree} properties age maximum", 99, f"{REQUEST}: /age: maximum went from 999 to 99"),
        (f"{new_tree} properties age multipleOf", 2, f"{REQUEST}: /age: multipleOf went from nothing to 2"),
        (f"{new_tree} properties name maxLength", 40, f"{REQUEST}: /name: maxLength went from 80 to 40"),
        (f"{new_tree} properties name minLength", 3, f"{REQUEST}: /name: minLength went from 2 to 3"),
        (f"{new_tree} properties name pattern", "^[a-z]*$", f"{REQUEST}: /name: pattern went from nothing to ^[a-z]*$"),
        (f"{new_tree} properties name format", "email", f"{REQUEST}: /name: format went from nothing to email"),
        (f"{new_tree} properties name enum", ["a"], f"{REQUEST}: /name: enum went from nothing to ['a']"),
        (f"{new_tree} properties kind enum", ["oak"], f"{REQUEST}: /kind: enum: elm is gone"),
        (f"{new_tree} properties branches maxItems", 8, f"{REQUEST}: /branches: maxItems went from 9 to 8"),
        (
            f"{new_tree} properties branches uniqueItems",
            True,
            f"{REQUEST}: /branches: uniqueItems went from nothing to True",
        ),
        (
            f"{new_tree} properties labels additionalProperties",
            False,
            f"{REQUEST}: /labels: other properties are refused",
        ),
        (
            f"{new_tree} properties labels additionalProperties maxLength",
            8,
            f"{REQUEST}: /labels/*: maxLength went from 9 to 8",
        ),
        (f"{new_tree} properties place anyOf", [{"type": "string"}], f"{REQUEST}: /place: anyOf has other parts"),
        (
            f"{new_tree} properties place anyOf 0 maxLength",
            9,
            f"{REQUEST}: /place/anyOf/0: maxLength went from nothing to 9",
        ),
        # Responses.
        (f"{plant} responses 404", GONE, f"{PLANT}: answer 404: it is gone"),
        (f"{plant} responses 202", {"description": "Later."}, f"{PLANT}: answer 202: it is new"),
        (f"{plant} responses 201 headers Location", GONE, f"{RESPONSE}: header Location: it is gone"),
        (f"{plant} responses 201 headers Location required", False, f"{RESPONSE}: header Location: it may be missing"),
        (
            f"{plant} responses 201 headers Location schema maxLength",
            90,
            f"{RESPONSE}: header Location: maxLength went from 80 to 90",
        ),
        (f"{plant} responses 201 content", {}, f"{RESPONSE}: application/json is gone"),
        (f"{look} responses 204 content", {"text/plain": {}}, f"{LOOK}: answer 204: text/plain is new"),
        ("x-elsewhere", {}, "elsewhere: answer 404: it is gone"),
        (f"{tree} required", GONE, f"{RESPONSE}: /name: it may be missing"),
        (f"{tree} properties age", GONE, f"{RESPONSE}: /age: it is gone"),
        (f"{tree} properties age type", "number", f"{RESPONSE}: /age: type went from integer to number"),
        (f"{tree} properties age nullable", True, f"{RESPONSE}: /age: nullable went from nothing to True"),
        (f"{tree} properties age format", GONE, f"{RESPONSE}: /age: format went from int32 to nothing"),
        (f"{tree} properties age maximum", GONE, f"{RESPONSE}: /age: maximum went from 999 to nothing"),
        (f"{tree} properties name minLength", 1, f"{RESPONSE}: /name: minLength went from 2 to 1"),
        (f"{tree} properties name maxLength", 81, f"{RESPONSE}: /name: maxLength went from 80 to 81"),
        (f"{tree} properties name pattern", ".", f"{RESPONSE}: /name: pattern went from ^[a-z]+$ to ."),
        (f"{tree} properties kind", OAK, f"{RESPONSE}: /kind: enum: ash is new"),
        (f"{tree} properties kind x-may-grow", True, f"{RESPONSE}: /kind: enum: it may grow from now on"),
        (f"{tree} properties kind enum", GONE, f"{RESPONSE}: /kind: enum went from ['oak', 'elm'] to nothing"),
        (f"{tree} properties rings items", {}, f"{RESPONSE}: /rings/*: type went from integer to nothing"),
        (f"{tree} properties parent", {"type": "object"}, f"{RESPONSE}: /parent: x-name went from Tree to nothing"),
    ],
)
def test_a_breaking_change_is_reported_in_one_line(address: str, value: Any, line: str) -> None:
    assert line in breaks(TREES, changed(address, value))


@pytest.mark.parametrize(
    ("address", "value"),
    [
        ("info version", "9.0.0"),
        ("components schemas Bush", {"type": "object"}),
        (f"{plant} summary", "Put a tree into the ground"),
        ("paths /moon", {"get": {"operationId": "lookFurther", "responses": FINE}}),
        ("paths /sky post", {"operationId": "paint", "responses": FINE}),
        # Authorization.
        (f"{plant} security", []),
        (f"{plant} security", [{"bearer": []}, {"key": []}, {"basic": []}]),
        (f"{plant} x-scopes", []),
        ("components securitySchemes bearer description", "A token."),
        # Requests.
        (f"{plant} parameters 0 description", "How deep."),
        (f"{plant} parameters 0 schema maximum", 10),
        (f"{look} parameters", [{"name": "Hat", "in": "header", "schema": {}}]),
        (f"{look} requestBody", {"required": False, "content": {}}),
        (f"{plant} requestBody content text/plain", {}),
        (f"{plant} x-body-bytes", 8192),
        (f"{new_tree} required", GONE),
        (f"{new_tree} additionalProperties", True),
        (f"{new_tree} properties colour", {"type": "string"}),
        (f"{new_tree} properties age type", "number"),
        (f"{new_tree} properties age minimum", -1),
        (f"{new_tree} properties age nullable", True),
        (f"{new_tree} properties name maxLength", GONE),
        (f"{new_tree} properties name minLength", 1),
        (f"{new_tree} properties name example", "Yggdrasil"),
        (f"{new_tree} properties kind", OAK),
        (f"{new_tree} properties kind enum", GONE),
        (f"{new_tree} properties kind x-may-grow", True),
        (f"{new_tree} properties labels additionalProperties", {}),
        # Responses.
        (f"{plant} responses 409", {"description": "The tree exists."}),
        (f"{plant} responses 201 description", "Your tree."),
        (f"{plant} responses 201 headers Age", {"schema": {"type": "integer"}}),
        (f"{plant} responses 201 headers Location schema maxLength", 79),
        (f"{tree} required", ["name", "age"]),
        (f"{tree} properties colour", {"type": "string"}),
        (f"{tree} properties age maximum", 99),
        (f"{tree} properties name minLength", 3),
        (f"{tree} properties kind enum", ["oak"]),
        ("components schemas Problem additionalProperties", False),
        ("components schemas Problem properties code enum", ["NOT_FOUND", "TOO_DARK"]),
        ("components schemas Problem properties code x-may-grow", GONE),
    ],
)
def test_a_compatible_change_is_not_reported(address: str, value: Any) -> None:
    assert breaks(TREES, changed(address, value)) == []


def test_a_change_behind_a_reference_is_reported_at_each_use() -> None:
    narrower = changed(f"{tree} properties name maxLength", 90)
    narrower["components"]["schemas"]["Timber"] = narrower["components"]["schemas"].pop("Tree")
    content = narrower["paths"]["/trees"]["post"]["responses"]["201"]["content"]["application/json"]
    content["schema"] = {"$ref": "#/components/schemas/Timber"}
    narrower["components"]["schemas"]["Timber"]["properties"]["parent"] = content["schema"]
    assert breaks(TREES, narrower) == [
        f"{RESPONSE}: x-name went from Tree to Timber",
        f"{RESPONSE}: /name: maxLength went from 80 to 90",
    ]


@pytest.mark.parametrize(
    ("old", "new", "allowed"),
    [
        ("0.1.0", "0.1.0", False),
        ("0.1.0", "0.1.1", False),
        ("0.1.9", "0.2.0", True),
        ("0.9.0", "1.0.0", True),
        ("1.2.3", "1.9.0", False),
        ("1.9.0", "2.0.0", True),
        ("2.0.0", "1.9.0", False),
        ("1.0.0", "0.9.0", False),
    ],
)
def test_a_breaking_change_requires_a_new_major_version(old: str, new: str, allowed: bool) -> None:
    assert may_break(old, new) is allowed


def test_the_contract_is_compatible_with_its_last_release() -> None:
    current = contract.load(resource_dir("openapi")).document
    found = breaks(RELEASED, current)
    assert not found or may_break(RELEASED["info"]["version"], current["info"]["version"]), "\n".join(found)


def test_the_published_contract_means_the_same() -> None:
    current = contract.load(resource_dir("openapi"))
    published = contract.published(current)
    assert breaks(published, current.document) == breaks(current.document, published) == []


def test_the_released_contract_is_the_newest_in_the_changelog() -> None:
    changelog = (CHECKOUT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## (\S+) - [0-9]{4}-[0-9]{2}-[0-9]{2}$", changelog, re.MULTILINE)
    hint = "released.json must be the newest release: date its version in CHANGELOG.md, or restore released.json"
    assert RELEASED["info"]["version"] == releases[0], hint
