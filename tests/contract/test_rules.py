"""The rules of a contract: Charter's own contract keeps them, and each broken one is reported."""

import re
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

from api import app, contract
from api.config.paths import resource_dir
from tests.support.readme import page

NOTES = """\
tags: [{name: notes, description: Notes.}]
paths:
  /notes:
    post:
      tags: [notes]
      operationId: addNote
      summary: Write a note
      description: Only the user who wrote a note can read it.
      x-scopes: [notes]
      parameters:
        - {name: mode, in: query, example: draft, schema: {type: string, description: Must be a word., pattern: '^[a-z]*$', default: draft}}
      requestBody:
        content:
          application/json:
            schema:
              type: object
              additionalProperties: false
              properties:
                text: {type: string, maxLength: 9}
                tags: {type: array, maxItems: 9, items: {type: string, enum: [a]}}
                more: {type: object, maxProperties: 9, additionalProperties: {type: integer, format: int64}}
            example: {text: Buy milk.}
      responses:
        '201':
          description: The note.
          headers: {Location: {schema: {type: string, example: /notes/1}}}
          links: {getNote: {operationId: getNote, parameters: {note_id: $response.body#/id}}}
  /notes/{note_id}:
    get:
      tags: [notes]
      operationId: getNote
      summary: Read a note
      description: The note must be one of your own.
      parameters: [{name: note_id, in: path, required: true, schema: {type: string}}]
      responses: {'204': {description: Nothing.}}
"""  # noqa: E501 - each line of the parameters is an object


@pytest.fixture
def rules(tmp_path: Path) -> Callable[..., list[str]]:
    """Return a function that writes the notes with changes, beside the shared file, and returns the broken rules."""
    shared = (resource_dir("openapi") / "openapi.yaml").read_text()

    def broken(*changes: tuple[str, str], role: str = "[notes]", without: str = "") -> list[str]:
        text = NOTES
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        (tmp_path / "notes.yaml").write_text(text)
        changed = re.sub(r"(?<=^  user: )\[.*\]", role, shared.replace(without, ""), flags=re.MULTILINE)
        # No operation has the scopes of services and other roles, or writes an event. The other lines stay in place.
        absent = (
            "x-events?:.*",
            "  [a-z]+_[a-z_]+: [A-Z].*",
            "  (admin|support):.*",
            "    - [a-z:]+",
            "x-service-scopes:.*",
        )
        changed = re.sub(f"^({'|'.join(absent)})$", "", changed, flags=re.MULTILINE)
        (tmp_path / "openapi.yaml").write_text(changed)
        loaded = contract.load(tmp_path)
        return [str(fault) for fault in contract.broken_rules(loaded, app.formats(loaded.title))]

    return broken


def test_the_contract_keeps_all_rules() -> None:
    loaded = contract.load(resource_dir("openapi"))
    assert contract.broken_rules(loaded, app.formats(loaded.title)) == []


def test_the_notes_keep_all_rules(rules: Callable[..., list[str]]) -> None:
    assert rules() == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ((", description: Notes.", ""), "1: tags > 0: the tag 'notes' needs a description"),
        (("addNote", "add_note"), "6: POST /notes: write the operationId 'add_note' in camel case, such as addNote"),
        (("      summary: Write a note\n", ""), "4: POST /notes: the operation needs a summary"),
        (
            ("      summary: Write a note\n      description", "      summary"),
            "4: POST /notes: the operation needs a desc",
        ),
        (("example: draft, ", ""), "11: POST /notes: the parameter 'mode' needs an example, beside its schema"),
        (("example: draft", "example: 7"), "11: POST /notes: the example does not fit its schema: Must be a string."),
        (("default: draft", "default: 7"), "11: POST /notes: the default does not fit its schema: Must be a string."),
        (("            example: {text: Buy milk.}\n", ""), "14: POST /notes: the body application/json needs an exam"),
        (
            ("Buy milk.", "Buy some milk."),
            "22: POST /notes: the example does not fit its schema at /text: Must be",
        ),
        (
            ("example: {text: Buy milk.}", "examples: {one: {value: {text: 7}}}"),
            "22: POST /notes: the one does not fit its schema at /text: Must be a string.",
        ),
        ((", example: /notes/1", ""), "26: POST /notes: the header 'Location' needs an example"),
        (("              additionalProperties: false\n", ""), "15: POST /notes: an object in a request needs addit"),
        (("maxItems: 9, ", ""), "20: POST /notes: a list in a request needs maxItems"),
        (("maxProperties: 9, ", ""), "21: POST /notes: a map in a request needs maxProperties"),
        ((", format: int64", ""), "21: POST /notes: an integer in a request needs a format, such as int64, or min"),
        ((", format: int64", ", minimum: 1"), "21: POST /notes: an integer in a request needs a format, such as int64"),
        (
            (" Must be a word.", " A word."),
            "11: POST /notes: the description of a format or pattern in a request begins",
        ),
        (("'^[a-z]*$'", "'[a-z]*$'"), "11: POST /notes: the pattern '[a-z]*$' must begin with ^ and end with $"),
        (
            ("parameters: {note_id: $response.body#/id}", "description: X."),
            "34: GET /notes/{note_id}: no link supplies",
        ),
    ],
)
def test_a_broken_rule_is_reported(rules: Callable[..., list[str]], change: tuple[str, str], fault: str) -> None:
    found = rules(change)
    assert found
    assert found[0].startswith(f"notes.yaml:{fault}")


def test_a_broken_rule_of_a_component_has_the_place_of_the_component(rules: Callable[..., list[str]]) -> None:
    lines = (resource_dir("openapi") / "openapi.yaml").read_text().splitlines()
    number = lines.index("    Cursor:") + 1
    (shown,) = (line.removeprefix("        - ") for line in NOTES.splitlines() if "name: mode" in line)
    expected = f"openapi.yaml:{number}: parameters > Cursor: the parameter 'cursor' needs an example, beside its schema"
    assert rules((shown, "{$ref: '#/components/parameters/Cursor'}")) == [expected]


def test_missing_errors_are_reported(tmp_path: Path) -> None:
    folder = copytree(resource_dir("openapi"), tmp_path / "openapi", ignore=ignore_patterns("released.json"))
    shared = folder / "openapi.yaml"
    text = shared.read_text()
    for line in (
        "      '408': {$ref: '#/components/responses/RequestTooSlow'}\n",
        "      '503': {$ref: '#/components/",
    ):
        assert line in text
        text = text.replace(line, line.replace("'4", "'x-4").replace("'5", "'x-5"), 1)
    shared.write_text(text)
    loaded = contract.load(folder)
    found = contract.broken_rules(loaded, app.formats(loaded.title))
    messages = {fault.message for fault in found if fault.pointer and fault.pointer[2] == "get"}
    assert "declare the errors 408, best for all in x-shared" in messages
    assert "declare the errors 408, 503, best for all in x-shared" in messages


def test_the_administrator_needs_each_scope_of_other_roles(tmp_path: Path) -> None:
    folder = copytree(resource_dir("openapi"), tmp_path / "openapi", ignore=ignore_patterns("released.json"))
    shared = folder / "openapi.yaml"
    shared.write_text(shared.read_text().replace("    - events:read\n    - keys\n", "", 1))
    loaded = contract.load(folder)
    (fault,) = contract.broken_rules(loaded, app.formats(loaded.title), administrator="admin")
    number = shared.read_text().splitlines().index("  admin:") + 1
    message = "the role 'admin' lacks events:read and keys, so it cannot manage users whose role has them"
    assert str(fault) == f"openapi.yaml:{number}: x-roles > admin: {message}"
    assert contract.broken_rules(loaded, app.formats(loaded.title)) == []


def test_the_page_of_the_rules_names_each_rule() -> None:
    text = page("docs/contract-rules.md")
    for word in ("camel case", "summary", "description", "example", "additionalProperties: false", "maxLength"):
        assert word in text
    for word in ("maxItems", "maxProperties", "int64", "Must", "`^`", "link", "x-roles", "x-shared", "default"):
        assert word in text


def test_strings_in_requests_need_a_maximum_length(rules: Callable[..., list[str]]) -> None:
    change = (", maxLength: 9", "")
    assert rules(change) == []
    found = rules(change, without="maxLength: 10000, ")
    assert any(fault.endswith("POST /notes: a string in a request needs maxLength") for fault in found), found


@pytest.mark.parametrize("name", ["binary", "password"])
def test_the_description_of_an_unchecked_format_is_free(rules: Callable[..., list[str]], name: str) -> None:
    text = "{type: string, maxLength: 9}"
    assert rules((text, f"{{type: string, maxLength: 9, format: {name}, description: A text.}}")) == []


@pytest.mark.parametrize(
    "schema", ["{type: string, format: binary, maxLength: 9}", "{$ref: '#/components/schemas/Icon'}"]
)
def test_a_file_needs_no_example(rules: Callable[..., list[str]], schema: str) -> None:
    body = "{required: true, content: {image/png: {schema: " + schema + "}}}"
    icon = "components: {schemas: {Icon: {type: string, format: binary, maxLength: 9}}}"
    end = "      responses: {'204': {description: Nothing.}}\n"
    assert rules((end, f"{end}      requestBody: {body}\n{icon}\n")) == []


def test_references_of_openapi_3_0_cannot_hide_members(rules: Callable[..., list[str]]) -> None:
    mapping = "{type: object, maxProperties: 9, additionalProperties: {type: integer, format: int64}}"
    found = rules((mapping, "{$ref: '#/components/schemas/Time', writeOnly: true}"))
    message = "notes.yaml:21: POST /notes: OpenAPI 3.0 ignores writeOnly beside $ref; put the $ref into allOf"
    assert message in found, found
