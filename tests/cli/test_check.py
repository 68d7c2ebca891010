"""`charter check`: all faults of the contract, or of any OpenAPI document, with file and line."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from api import contract
from api.config.paths import resource_dir
from tests.support.charter import Charter
from tests.support.paths import CHECKOUT
from tests.support.readme import blocks

SERVED = f"{len([*contract.load(resource_dir('openapi')).operations()])} operations can be served"
PETS = """\
openapi: {version}
info: {{title: Pets, version: '1'}}
paths:
  /pets:
    get:
      responses:
        200:
          description: All pets.
          content: {{application/json: {{schema: {{$ref: '#/components/schemas/Pet'}}}}}}
    post:
      responses:
        '201': {{description: The pet, contents: {{}}}}
  /pets/{{id}}:
    delete:
      parameters: [{{name: id, in: path, required: true, schema: {{type: string}}}}]
      responses: {{'204': {{description: Gone.}}}}
components:
  schemas:
    Pet: {{type: object, properties: {{name: {{type: string, {field}: 9}}}}}}
"""
FAULTS = [
    "pets{suffix}:12: POST /pets: unknown field 'contents'; did you mean 'content'?",
    "pets{suffix}:19: schemas > Pet > properties > name > maxLenght: unknown field 'maxLenght'; "
    "did you mean 'maxLength'? (used by 1 operation)",
    "1 of 3 operations can be served.",
]


@pytest.fixture
def copied(charter: Charter) -> Charter:
    """Return an installation that has its own copy of the code and of the contract."""
    for name in ("api", "migrations", "openapi"):
        shutil.copytree(CHECKOUT / name, charter.folder / name)
    charter.settings = {"PYTHONPATH": str(charter.folder)}
    return charter


def replace(charter: Charter, name: str, *changes: tuple[str, str]) -> None:
    """Change a file of the copy. Assert that it contains each text to replace."""
    file = charter.folder / name
    text = file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    file.write_text(text)


def line_of(charter: Charter, name: str, text: str) -> int:
    """Return the number of the first line that contains a text."""
    lines = (charter.folder / name).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_check_accepts_the_contract_and_creates_nothing(charter: Charter) -> None:
    result = charter.run("check")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{SERVED}. The contract keeps all rules.\n", "")
    assert not charter.data.exists()


def test_check_lists_all_faults_of_the_contract(copied: Charter) -> None:
    changes = ("summary: List your", "sumary: List your"), ("maxLength: 45", "maxLenght: 45")
    replace(copied, "openapi/sessions.yaml", *changes)
    replace(copied, "openapi/auth.yaml", ("summary: End the session", "summary: 7"))
    result = copied.run("check")
    assert (result.returncode, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["auth.yaml", "sessions.yaml", "sessions.yaml"]
    number = line_of(copied, "openapi/auth.yaml", "summary: 7")
    assert lines[0] == f"auth.yaml:{number}: POST /api/v1/auth/logout: 'summary' must be a string, but is an integer"
    number = line_of(copied, "openapi/sessions.yaml", "sumary")
    assert lines[1] == f"sessions.yaml:{number}: GET /api/v1/sessions: unknown field 'sumary'; did you mean 'summary'?"
    assert "unknown field 'maxLenght'; did you mean 'maxLength'?" in lines[2]
    assert copied.run("serve").stderr.splitlines() == [f"Error: {lines[0]}", *(f"       {line}" for line in lines[1:])]


def test_check_lists_missing_handlers_and_broken_rules_together(copied: Charter) -> None:
    changes = ("operationId: revokeOtherSessions", "operationId: leave"), ("      summary: List your sessions\n", "")
    replace(copied, "openapi/sessions.yaml", *changes)
    result = copied.run("check")
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert lines[0].endswith("DELETE /api/v1/sessions: api/handlers/sessions.py has no function leave")
    assert lines[1].endswith("GET /api/v1/sessions: the operation needs a summary")
    assert lines[2:] == ["The contract cannot be served."]


def test_check_lists_a_parameter_that_the_handler_ignores(copied: Charter) -> None:
    replace(copied, "api/handlers/sessions.py", (" limit: int,", ""), ("limit=limit", "limit=1"))
    result = copied.run("check")
    (line, summary) = result.stdout.splitlines()
    assert line.endswith("GET /api/v1/sessions: the handler ignores the query parameter 'limit'; it must take limit")
    assert (result.returncode, summary) == (1, f"{SERVED}. The contract breaks rules in 1 place.")


def test_check_names_a_syntax_error_of_a_handler_once(copied: Charter) -> None:
    replace(copied, "api/handlers/sessions.py", ("def ", "def def "))
    result = copied.run("check")
    assert (result.returncode, result.stderr) == (1, "")
    (line, summary) = result.stdout.splitlines()
    assert "api/handlers/sessions.py cannot be imported: SyntaxError: invalid syntax; see " in line
    assert summary == "The contract cannot be served."


def test_check_lists_missing_handlers_beside_faults_of_the_files(copied: Charter) -> None:
    replace(copied, "openapi/sessions.yaml", ("operationId: revokeOtherSessions", "operationId: leave"))
    replace(copied, "openapi/passwords.yaml", ("operationId: changePassword", "operationId: null"))
    replace(copied, "openapi/openapi.yaml", ("    - events:read\n", "    - events:raed\n"))
    result = copied.run("check")
    assert (result.returncode, result.stderr) == (1, "")
    assert [line.partition(": ")[2] for line in result.stdout.splitlines()] == [
        "PUT /api/v1/me/password: 'operationId' must be a string, but is empty",
        "DELETE /api/v1/sessions: api/handlers/sessions.py has no function leave",
    ]
    replace(copied, "openapi/passwords.yaml", ("operationId: null", "operationId: changePassword"))
    result = copied.run("check")
    assert [line.partition(": ")[2] for line in result.stdout.splitlines()] == [
        "x-roles > admin: no operation requires the scope 'events:raed' of the role 'admin'",
        "DELETE /api/v1/sessions: api/handlers/sessions.py has no function leave",
    ]


def test_check_fails_on_a_broken_rule_that_does_not_prevent_a_start(copied: Charter) -> None:
    replace(copied, "openapi/sessions.yaml", ("      summary: List your sessions\n", ""))
    result = copied.run("check")
    assert result.returncode == 1
    assert result.stdout.endswith(f"{SERVED}. The contract breaks rules in 1 place.\n")


def test_check_requires_each_scope_for_the_admin(copied: Charter) -> None:
    replace(copied, "openapi/openapi.yaml", ("    - events:read\n", ""))
    result = copied.run("check")
    (line, summary) = result.stdout.splitlines()
    assert "x-roles > admin: the role 'admin' lacks events:read, so it cannot manage users whose role has" in line
    assert (result.returncode, summary) == (1, f"{SERVED}. The contract breaks rules in 1 place.")


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_check_lists_what_could_not_be_served_of_a_file(charter: Charter, version: str, suffix: str) -> None:
    text = PETS.format(version=version, field="maxLenght")
    file = charter.folder / f"pets{suffix}"
    file.write_text(text if suffix == ".yaml" else json.dumps(json_of(text), indent=1))
    result = charter.run("check", str(file))
    assert (result.returncode, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    expected = [line.format(suffix=suffix) for line in FAULTS]
    if suffix == ".json":
        numbers = [line.split(":")[1] for line in lines[:2]]
        for number, name in zip(numbers, ("contents", "maxLenght"), strict=True):
            assert f'"{name}"' in file.read_text().splitlines()[int(number) - 1]
        lines = [line.replace(f":{number}:", ":", 1) for line, number in zip(lines, [*numbers, "-"], strict=True)]
        expected = [line.replace(":12:", ":").replace(":19:", ":") for line in expected]
    assert lines == expected


def json_of(text: str) -> object:
    """Return a YAML text as a value whose keys are strings."""
    return json.loads(json.dumps(yaml.safe_load(text)))


def test_check_accepts_a_file_that_can_be_served(charter: Charter) -> None:
    file = charter.folder / "pets.yaml"
    file.write_text(PETS.format(version="3.0.3", field="maxLength").replace(", contents: {}", ""))
    result = charter.run("check", str(file))
    assert (result.returncode, result.stdout) == (0, "3 of 3 operations can be served.\n")


def test_a_fault_of_the_whole_document_affects_all_operations(tmp_path: Path) -> None:
    file = tmp_path / "pets.yaml"
    file.write_text(PETS.format(version="3.0.3", field="maxLength").replace("title: Pets, ", ""))
    verdict = contract.check_file(file)
    assert (verdict.operations, verdict.served) == (3, 0)
    assert str(verdict.faults[0]) == "pets.yaml:2: info: missing field 'title' (used by 3 operations)"


def test_a_misspelled_format_of_a_file_is_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "pets.yaml"
    text = PETS.format(version="3.0.3", field="maxLength").replace(", contents: {}", "")
    file.write_text(text.replace("maxLength: 9", "format: date-tme"))
    verdict = contract.check_file(file)
    assert (verdict.operations, verdict.served) == (3, 2)
    assert [str(fault) for fault in verdict.faults] == [
        "pets.yaml:19: schemas > Pet > properties > name > format: unknown format 'date-tme'; "
        "did you mean 'date-time'? (used by 1 operation)"
    ]


def test_an_unknown_format_of_a_file_is_a_warning(charter: Charter) -> None:
    file = charter.folder / "pets.yaml"
    text = PETS.format(version="3.0.3", field="format").replace(", contents: {}", "")
    file.write_text(text.replace("format: 9", "format: url"))
    result = charter.run("check", str(file))
    assert (result.returncode, result.stdout.splitlines()) == (
        0,
        [
            "warning: pets.yaml:19: schemas > Pet > properties > name > format: unknown format 'url' is not checked; "
            "did you mean 'uri'?",
            "3 of 3 operations can be served.",
        ],
    )


def test_an_unknown_format_of_the_contract_is_a_warning(copied: Charter) -> None:
    pattern = "          pattern: '^[0-9a-f-]*$'\n"
    replace(copied, "openapi/sessions.yaml", (pattern, f"{pattern}          format: frobnicate\n"))
    result = copied.run("check")
    (line, summary) = result.stdout.splitlines()
    number = line_of(copied, "openapi/sessions.yaml", "frobnicate")
    assert line.startswith(f"warning: sessions.yaml:{number}: ")
    assert line.endswith(": unknown format 'frobnicate' is not checked")
    assert (result.returncode, summary) == (0, f"{SERVED}. The contract keeps all rules.")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[", "pets.yaml:2: not valid YAML: did not find expected node content"),
        ("[]", "pets.yaml:1: the file must be a mapping"),
        ("swagger: '2.0'", "pets.yaml:1: openapi: OpenAPI 2.0 is not supported, but 3.0 and 3.1 are; convert"),
    ],
)
def test_check_rejects_files_that_are_not_openapi_3(charter: Charter, text: str, fault: str) -> None:
    file = charter.folder / "pets.yaml"
    file.write_text(text)
    result = charter.run("check", str(file))
    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout.startswith(fault)
    assert charter.run("check", "missing.yaml").returncode == 2


def test_the_documented_faults_are_reported(charter: Charter) -> None:
    document, command, output = blocks("docs/cli.md", "Check")
    (charter.folder / "pets.yaml").write_text(document.text)
    assert command.text == "charter check pets.yaml\n"
    assert charter.run("check", "pets.yaml").stdout == output.text
