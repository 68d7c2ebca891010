"""Reading the files of a contract: YAML 1.2 and JSON, which files count, and where faults are."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from api import contract
from api.contract import ContractError
from api.contract.document.files import read
from tests.support.engine import ECHO, OPERATION, PARTS, SHARED, Engine, document

# The values that YAML 1.2 (section 10.3.2) gives to texts. YAML 1.1 reads all but the last three rows differently.
SCALARS = {
    **{text: text for text in ("NO", "No", "no", "yes", "Yes", "on", "Off", "y", "n")},
    **{text: text for text in ("1_000", "1:30", "0b101", "2026-01-31", "2026-01-31T12:00:00Z", "=")},
    "012": 12,
    "0o17": 15,
    "1e3": 1000.0,
    "+5": 5,
    "0x1F": 31,
    "-.5": -0.5,
    "True": True,
}


def test_scalars_have_the_types_of_yaml_1_2(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("".join(f"- {text}\n" for text in SCALARS))
    found = read(tmp_path / "a.yaml")
    assert [(value, type(value)) for value in found] == [(value, type(value)) for value in SCALARS.values()]


def test_country_codes_are_strings(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("enum: [SE, NO, DK]\nnone: [~, null, ]\n")
    assert read(tmp_path / "a.yaml") == {"enum": ["SE", "NO", "DK"], "none": [None, None]}


def test_keys_are_always_strings(tmp_path: Path) -> None:
    # OpenAPI 3.0.3, section 4.3: the keys of maps are strings, as in the failsafe schema of YAML.
    (tmp_path / "a.yaml").write_text("200: a\nno: b\n1.5: c\nnull: d\n")
    assert read(tmp_path / "a.yaml") == {"200": "a", "no": "b", "1.5": "c", "null": "d"}


def test_merge_keys_and_aliases_are_resolved(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a\n")
    assert read(tmp_path / "a.yaml") == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2}}


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("a: 1\na: 2\nb:\n  c: 1\n  c: 2\n", ["a.yaml:2: duplicate key 'a'", "a.yaml:5: duplicate key 'c'"]),
        ("a: .inf\nb: [.nan]\n", ["a.yaml:1: .inf is not a number of JSON", "a.yaml:2: .nan is not a number of JSON"]),
        ("? [a]\n: 1\n", ["a.yaml:1: not valid YAML: found unhashable key"]),
        ("a: 1\n b: 2\n", ["a.yaml:2: not valid YAML: mapping values are not allowed in this context"]),
        ("a: !!python/name:os.system x\n", ["a.yaml:1: not valid YAML: could not determine a constructor for the tag"]),
        ("a: !!timestamp 2026-01-31\n", ["a.yaml:1: not valid YAML: could not determine a constructor for the tag"]),
    ],
)
def test_invalid_yaml_is_rejected_with_its_lines(tmp_path: Path, text: str, faults: list[str]) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ContractError) as caught:
        read(tmp_path / "a.yaml")
    found = [str(fault) for fault in caught.value.faults]
    assert len(found) == len(faults)
    assert all(line.startswith(expected) for line, expected in zip(found, faults, strict=True)), found


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": 1,\n "b": }', "a.json:2: not valid JSON: Expecting value"),
        ('{"a": {"b": 1, "b": 2}}', "a.json:1: duplicate key 'b'"),
        ('{"a": NaN}', "a.json:1: NaN is not a number of JSON"),
    ],
)
def test_invalid_json_is_rejected(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ContractError, match=fault):
        read(tmp_path / "a.json")


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
def test_a_tag_file_may_be_yaml_or_json(engine: Engine, suffix: str) -> None:
    (engine.folder / "a.yaml").unlink()
    engine.write(json.dumps(yaml.safe_load(PARTS)), f"a{suffix}")
    assert engine.request("/query?number=3").json() == {"number": 3, "flag": None, "word": None}


@pytest.mark.parametrize("suffix", [".yml", ".json"])
def test_the_shared_file_may_be_yaml_or_json(engine: Engine, suffix: str) -> None:
    (engine.folder / "openapi.yaml").unlink()
    engine.write(json.dumps(yaml.safe_load(SHARED)), f"openapi{suffix}")
    assert engine.request("/query").status_code == 200


def test_files_that_would_be_ignored_are_rejected(engine: Engine) -> None:
    (engine.folder / "drafts").mkdir()
    engine.write("x", "notes.md")
    engine.write(PARTS, "a.yml")
    engine.write("x", ".hidden")
    engine.write("{}", "released.json")
    with pytest.raises(ContractError) as caught:
        engine.start()
    assert [fault.place for fault in caught.value.faults] == ["a.yml", "drafts", "notes.md"]
    assert [fault.message for fault in caught.value.faults] == [
        "a.yaml has the same tag; merge the two files",
        f"only .yaml, .yml, .json files are read; move it out of {engine.folder.name}/",
        f"only .yaml, .yml, .json files are read; move it out of {engine.folder.name}/",
    ]


@pytest.mark.parametrize(
    ("version", "fault"),
    [
        ("swagger: '2.0'", "OpenAPI 2.0 is not supported, but 3.0 and 3.1 are; convert the document first"),
        ("openapi: 3.2.0", "OpenAPI 3.2.0 is not supported, but 3.0 and 3.1 are$"),
        ("openapi: 3.1", "the field openapi must name the version in quotes, such as '3.0.3'"),
        ("info2: {}", "the field openapi must name the version in quotes"),
    ],
)
def test_other_versions_are_rejected_in_words(engine: Engine, version: str, fault: str) -> None:
    engine.write(SHARED.replace("openapi: 3.0.3", version), "openapi.yaml")
    with pytest.raises(ContractError, match=f"^openapi.yaml:[12]: .*{fault}"):
        engine.start()


@pytest.mark.parametrize("version", ["3.0.0", "3.0.4", "3.1.0", "3.1.1"])
def test_both_versions_are_served(engine: Engine, version: str) -> None:
    engine.write(SHARED.replace("3.0.3", version), "openapi.yaml")
    assert engine.request("/query").status_code == 200


def test_webhooks_and_path_items_of_3_1_are_published_and_not_served(engine: Engine) -> None:
    item = "{post: {responses: {'200': {description: ''}}}}"
    more = f"webhooks: {{happened: {item}}}\njsonSchemaDialect: https://spec.openapis.org/oas/3.1/dialect/base\n"
    shared = SHARED.replace("3.0.3", "3.1.0") + f"  pathItems: {{Item: {item}}}\n{more}"
    engine.write(shared, "openapi.yaml")
    published: Any = contract.published(contract.load(engine.folder))
    assert published["webhooks"]["happened"] == published["components"]["pathItems"]["Item"]
    assert published["jsonSchemaDialect"].endswith("/dialect/base")
    assert engine.request("/happened", "POST").status_code == 404


def test_webhooks_are_unknown_in_3_0(engine: Engine) -> None:
    engine.write(SHARED + "webhooks: {}\n", "openapi.yaml")
    with pytest.raises(ContractError, match="webhooks: unknown field 'webhooks'"):
        engine.start()


ITEM = f"""
tags: [{{name: a}}]
paths:
  /x/{{number}}:
    summary: Things
    description: All about things.
    parameters: [{{name: number, in: path, required: true, schema: {{type: integer}}}}]
    get: {{tags: [a], operationId: echoNumber, {ECHO}}}
"""


def test_path_level_fields_apply_to_all_operations_of_the_path(engine: Engine) -> None:
    engine.handlers.echo_number = lambda number: {"number": number}  # type: ignore[attr-defined]
    engine.write(ITEM)
    assert engine.request("/x/7").json() == {"number": 7}
    assert engine.request("/x/y").status_code == 400


def test_two_tags_can_share_a_path(engine: Engine) -> None:
    second = ITEM.replace("name: a}]", "name: b}]", 1).replace("tags: [a]", "tags: [b]").replace("get:", "put:")
    engine.write(ITEM)
    engine.write(second.replace("echoNumber", "putNumber"), "b.yaml")
    found = contract.load(engine.folder)
    assert [(op.method, op.parameters[0]["name"]) for op in found.operations()] == [
        ("get", "number"),
        ("put", "number"),
    ]
    engine.write(second.replace("Things", "Others"), "b.yaml")
    with pytest.raises(ContractError, match=r"b.yaml:5: .*summary is defined twice, here and in a.yaml"):
        contract.load(engine.folder)


def test_a_start_lists_all_faults_with_files_and_lines(engine: Engine) -> None:
    engine.write(document("{tags: [a], operationId: findThing, sumary: x, responses: {'20': {description: 1}}}"))
    second = document(OPERATION).replace("name: a", "name: b").replace("[a]", "[b]")
    engine.write(second.replace("resp", "x-scopes: [], parameters: {}, resp"), "b.yaml")
    with pytest.raises(ContractError) as caught:
        engine.start()
    assert str(caught.value).splitlines() == [
        "a.yaml:4: GET /x: unknown field 'sumary'; did you mean 'summary'?",
        "a.yaml:4: GET /x: '20' is not a status such as 200, 2XX or default",
        "a.yaml:4: GET /x: 'description' must be a string, but is an integer",
        "b.yaml:4: GET /x: GET /x is defined twice, here and in a.yaml",
    ]


def test_a_start_lists_what_cannot_be_served_beside_other_faults(engine: Engine) -> None:
    engine.write(document(OPERATION.replace("tags: [a]", "tags: [a], sumary: x")))
    body = "requestBody: {content: {application/xml: {schema: {type: object}}}}"
    second = document(OPERATION.replace("listThings", f"getThings, {body}"), "/y")
    engine.write(second.replace("name: a", "name: b").replace("[a]", "[b]"), "b.yaml")
    with pytest.raises(ContractError) as caught:
        engine.start()
    assert str(caught.value).splitlines() == [
        "a.yaml:4: GET /x: unknown field 'sumary'; did you mean 'summary'?",
        "b.yaml:4: GET /y: application/xml: a binary body must have a schema of the type string",
    ]


def test_a_start_lists_all_faults_of_the_handlers(engine: Engine) -> None:
    engine.handlers.list_things = lambda word: word  # type: ignore[attr-defined]
    second = document(OPERATION, "/y").replace("name: a", "name: b").replace("[a]", "[b]")
    engine.write(second.replace("listThings", "getThings"), "b.yaml")
    engine.write(PARTS.replace("echoMust", "echoOther"))
    with pytest.raises(ContractError) as caught:
        engine.start()
    assert str(caught.value).splitlines() == [
        "a.yaml:28: GET /must: made/a.py has no function echo_other",
        "a.yaml:34: GET /things: unknown parameters of the handler: word in tests/contract/test_contract_files.py; "
        "it can take client, db, media_type",
        "b.yaml:4: GET /y: made/b.py not found",
    ]
