"""Documents of the right structure whose parts refer to each other in odd ways get a verdict, in linear time."""

import json
from pathlib import Path
from typing import Any

import pytest

from api import contract
from api.contract import Verdict
from api.contract.schema.served_schema import SchemaCheck

Json = dict[Any, Any]

ENDLESS = "the schema applies itself to the same value without end"
OK = {"responses": {"204": {"description": ""}}}
KEY: Json = {"security": [{"k": []}]}
VERSIONS = ["3.0.3", "3.1.0"]


def checked(folder: Path, schemas: Json, version: str = "3.1.0") -> Verdict:
    """Check a document in which parameters, bodies and responses refer to the schema `A`."""
    content = {"application/json": {"schema": ref("A")}}
    form = {"type": "object", "properties": {"a": ref("A")}}
    operation = {
        "parameters": [{"name": "q", "in": "query", "schema": ref("A")}],
        "requestBody": {"content": content | {"multipart/form-data": {"schema": form}}},
        "responses": {"200": {"description": "", "content": content}},
    }
    return check(folder, {"paths": {"/a": {"post": operation}}, "components": {"schemas": schemas}}, version)


def check(folder: Path, parts: Json, version: str = "3.1.0") -> Verdict:
    """Check a document of these parts."""
    file = folder / "a.json"
    file.write_text(json.dumps({"openapi": version, "info": {"title": "t", "version": "1"}, **parts}))
    return contract.check_file(file)


def ref(name: object) -> dict[str, str]:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def chain(length: int, **last: Any) -> Json:
    """Return schemas that refer to the next one twice, in the property `p` of an object."""
    objects = {n: {"type": "object", "properties": {"p": ref(n + 1), "q": ref(n + 1)}} for n in range(length)}
    return {"A": ref(0), **objects, length: last}


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_schemas_that_double_at_each_level_can_be_served(tmp_path: Path, keyword: str, version: str) -> None:
    doubled = {n: {keyword: [ref(n + 1), ref(n + 1)]} for n in range(40)}
    verdict = checked(tmp_path, {"A": ref(0), **doubled, 40: {"type": "string"}}, version)
    assert verdict == (1, 1, [], [])


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_schemas_that_all_contain_each_other_can_be_served(tmp_path: Path, version: str) -> None:
    names = ["A", *range(30)]
    full = {name: {"type": "object", "properties": {f"p{other}": ref(other) for other in names}} for name in names}
    assert checked(tmp_path, full, version) == (1, 1, [], [])


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_long_chains_of_schemas_can_be_served(tmp_path: Path, version: str) -> None:
    assert checked(tmp_path, chain(500, type="string"), version) == (1, 1, [], [])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "schemas",
    [
        {"A": {"allOf": [ref("A")]}},
        {"A": {"type": "object", "properties": {"b": {"anyOf": [{}, ref("B")]}}}, "B": {"not": ref("B")}},
        {name: {"oneOf": [ref(other) for other in ["A", *range(30)] if other != name]} for name in ["A", *range(30)]},
    ],
)
def test_schemas_that_never_end_are_faults(tmp_path: Path, schemas: Json, version: str) -> None:
    verdict = checked(tmp_path, schemas, version)
    assert (verdict.operations, verdict.served) == (1, 0)
    assert [str(fault) for fault in verdict.faults] == [f"a.json:1: POST /a: {ENDLESS}"]


@pytest.mark.parametrize("version", VERSIONS)
def test_too_many_schemas_for_the_same_value_are_a_fault(tmp_path: Path, version: str) -> None:
    nested = {n: {"allOf": [ref(n + 1)]} for n in range(150)}
    verdict = checked(tmp_path, {"A": ref(0), **nested, 150: {}}, version)
    message = "more than 100 schemas, one inside the other, apply to the same value"
    assert [str(fault) for fault in verdict.faults] == [f"a.json:1: POST /a: {message}"]


@pytest.mark.parametrize("schemas", [{"A": ref("A")}, {"A": ref("B"), "B": ref("A")}])
def test_references_that_never_end_are_faults(tmp_path: Path, schemas: Json) -> None:
    new, old = checked(tmp_path, schemas, "3.1.0"), checked(tmp_path, schemas, "3.0.3")
    assert [str(fault) for fault in new.faults] == [f"a.json:1: POST /a: {ENDLESS}"]
    assert {fault.message.partition(" '")[0] for fault in old.faults} == {"circular reference"}
    assert (new.served, old.served) == (0, 0)


def test_path_items_that_refer_to_each_other_are_faults(tmp_path: Path) -> None:
    verdict = check(tmp_path, {"paths": {"/a": {"$ref": "#/paths/~1b"}, "/b": {"$ref": "#/paths/~1a"}}})
    assert (verdict.operations, [str(fault) for fault in verdict.faults]) == (
        0,
        ["a.json:1: /a: circular reference '#/paths/~1b'", "a.json:1: /b: circular reference '#/paths/~1a'"],
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("parts", "operations", "served"),
    [
        ({"paths": [], "components": 3, "servers": {}, "tags": 1, "security": "x"}, 0, 0),
        ({"paths": {"/a": None, "/b": 3, "c": {"get": {}}, "/d": {"get": None, "put": [], "parameters": {}}}}, 1, 0),
        ({"paths": {"/a": {"get": {"operationId": [], "security": [1], "responses": [], "tags": 3}}}}, 1, 0),
        ({"paths": {"/a": {"parameters": 3, "get": OK, "put": OK}, "/b": {"get": OK}}}, 3, 1),
        ({"paths": {"/a": {"get": OK}}, "components": 3}, 1, 1),
        ({"paths": {"/a": {"get": OK}}, "components": {"schemas": [1]}}, 1, 1),
        ({"paths": {"/a": {"get": OK}}, "components": {"schemas": {"A": {"allOf": 3, "$defs": 4, "$id": 5}}}}, 1, 1),
        ({"paths": {"/a": {"get": OK}}, "components": {"schemas": {"A": {"$id": [], "$anchor": {}}}}}, 1, 1),
        ({"paths": {"/a": {"get": OK}}, "components": {"securitySchemes": {"k": 3}}}, 1, 1),
        ({"paths": {"/a": {"get": OK | KEY}, "/b": {"get": OK}}, "components": {"securitySchemes": {"k": 3}}}, 2, 1),
    ],
)
def test_parts_of_a_wrong_type_affect_only_operations_that_use_them(
    tmp_path: Path, parts: Json, operations: int, served: int, version: str
) -> None:
    verdict = check(tmp_path, parts, version)
    assert (verdict.operations, verdict.served) == (operations, served)
    assert verdict.faults
    assert all(fault.place.startswith("a.json:1") for fault in verdict.faults)


def test_schemas_in_extensions_are_not_read(tmp_path: Path) -> None:
    assert check(tmp_path, {"paths": {"/a": {"get": OK}}, "x-a": {"schemas": [1], "schema": 3}}) == (1, 1, [], [])


@pytest.mark.parametrize(
    "link",
    [{"operationId": "b"}, {"operationRef": "#/paths/~1b/get"}, {"operationRef": "#/paths/~1a"}, {"operationRef": "#"}],
)
def test_links_to_unknown_operations_are_faults(tmp_path: Path, link: Json) -> None:
    responses = {"200": {"description": "", "links": {"l": link}}}
    verdict = check(tmp_path, {"paths": {"/a": {"get": {"responses": responses}}}})
    assert [str(fault) for fault in verdict.faults] == ["a.json:1: GET /a: operation of the link 'l' not found"]


@pytest.mark.parametrize(
    "link",
    [
        {"operationId": "a"},
        {"operationRef": "#/paths/~1a/get"},
        {"operationRef": "https://b.example/c.json#/paths/~1a"},
    ],
)
def test_links_to_operations_can_be_served(tmp_path: Path, link: Json) -> None:
    responses = {"200": {"description": "", "links": {"l": link}}}
    assert check(tmp_path, {"paths": {"/a": {"get": {"operationId": "a", "responses": responses}}}}) == (1, 1, [], [])


def test_a_mapping_of_a_discriminator_must_name_schemas(tmp_path: Path) -> None:
    mapping = {"a": "A", "b": "#/components/schemas/A", "c": "#anchor", "d": "B", "e": "#/components/schemas/B"}
    schema = {"oneOf": [ref("A")], "discriminator": {"propertyName": "p", "mapping": mapping}}
    verdict = checked(tmp_path, {"A": {"type": "object", "properties": {"p": schema}, "$anchor": "anchor"}})
    assert [fault.message for fault in verdict.faults] == [
        "the schema 'B' of 'd' not found (used by 1 operation)",
        "the schema '#/components/schemas/B' of 'e' not found (used by 1 operation)",
    ]


def test_an_undefined_security_scheme_is_reported_once(tmp_path: Path) -> None:
    verdict = check(tmp_path, {"paths": {"/a": {"get": OK | KEY}}})
    message = "the security scheme 'k' is not defined in components.securitySchemes"
    assert [str(fault) for fault in verdict.faults] == [f"a.json:1: GET /a: {message}"]


def test_a_schema_that_cannot_be_served_is_searched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visits: list[object] = []
    visit = SchemaCheck._visit
    monkeypatch.setattr(SchemaCheck, "_visit", lambda self, part: visits.append(part) or visit(self, part))  # type: ignore[func-returns-value]
    schemas = {n: {"type": "object", "properties": {"p": ref((n + 1) % 50)}} for n in range(50)}
    schemas[0]["pattern"] = "("
    responses = {n: {"description": "", "content": {"application/json": {"schema": ref(n)}}} for n in range(50)}
    paths = {f"/{n}": {"get": {"responses": {"200": responses[n]}}} for n in range(50)}
    verdict = check(tmp_path, {"paths": paths, "components": {"schemas": schemas}})
    assert (verdict.operations, verdict.served, len(verdict.faults)) == (50, 0, 50)
    assert len(visits) < 300
