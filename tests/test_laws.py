"""The house keeps its own laws: names are addresses, layers look one way, and what is said once is said everywhere."""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from inflection import underscore

from api import contract
from api.config import folder
from api.contract import ContractError

ROOT = Path(__file__).parent.parent
CONTRACT = contract.load(folder("openapi"))
OPERATIONS = [operation for _, _, operation in CONTRACT.operations()]
TAGS = {tag["name"] for tag in CONTRACT.document["tags"]}


def test_a_tag_is_a_file_and_a_module() -> None:
    files = {file.stem for file in (ROOT / "openapi").glob("*.yaml")} - {"openapi"}
    modules = {file.stem for file in (ROOT / "api/handlers").glob("*.py")} - {"__init__"}
    assert files == modules == TAGS == {operation["tags"][0] for operation in OPERATIONS}


@pytest.mark.parametrize("tag", sorted(TAGS))
def test_an_operation_is_a_handler_and_a_handler_is_an_operation(tag: str) -> None:
    module = import_module(f"api.handlers.{tag}")
    handlers = {
        name
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    assert handlers == {underscore(op["operationId"]) for op in OPERATIONS if op["tags"] == [tag]}


def test_operation_ids_are_camel_case_and_unique() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[a-z]+([A-Z][a-z]+)*", name) for name in ids)


# What each room may import of ours: itself and these. A room that is not listed is a defect.
LAYERS: dict[str, set[str]] = {
    "app": {"*"},
    "cli": {"app", "config", "contract", "database", "errors", "logs", "schema", "server"},
    "clock": set(),
    "config": {"secret"},
    "contract": {"errors", "logs"},
    "database": {"errors"},
    "errors": set(),
    "handlers": {"contract", "database", "errors", "hashing", "security", "services", "tokens"},
    "hashing": set(),
    "logs": set(),
    "models": {"clock", "database"},
    "schema": {"config", "database"},
    "security": {"contract", "database", "errors", "logs", "services", "tokens"},
    "secret": set(),
    "server": {"contract", "errors"},
    "services": {"clock", "database", "errors", "hashing", "logs", "models", "tokens"},
    "tokens": {"clock", "errors"},
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Each module of the package, as (room, syntax tree)."""
    for file in (ROOT / "api").rglob("*.py"):
        room = file.relative_to(ROOT / "api").parts[0].removesuffix(".py")
        if room != "__init__":
            yield room, ast.parse(file.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    """The full names of everything that is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_layers_look_one_way() -> None:
    for room, tree in modules():
        rooms = {name.split(".")[1] for name in imported(tree) if name.startswith("api.")}
        foreign = rooms - {room} - LAYERS[room]
        assert not foreign or LAYERS[room] == {"*"}, f"{room} must not import {foreign}"


@pytest.mark.parametrize(
    ("library", "rooms"),
    [
        ("jwt", {"tokens"}),
        ("bcrypt", {"hashing"}),
        ("connexion", {"app", "contract"}),
        ("flask", {"contract"}),
        ("starlette", {"contract", "errors", "security", "server"}),
        ("sqlalchemy", {"config", "database", "models", "schema", "services"}),
        ("alembic", {"schema"}),
        ("uvicorn", {"cli", "server"}),
    ],
)
def test_a_library_has_its_rooms(library: str, rooms: set[str]) -> None:
    users = {room for room, tree in modules() if any(name.split(".")[0] == library for name in imported(tree))}
    assert users == rooms


def test_only_config_reads_the_environment() -> None:
    readers = {room for room, tree in modules() if any(_reads_environment(node) for node in ast.walk(tree))}
    assert readers == {"config"}


def _reads_environment(node: ast.AST) -> bool:
    names = {"environ", "environb", "getenv"}
    if isinstance(node, ast.ImportFrom):
        return node.module == "os" and bool(names & {alias.name for alias in node.names})
    return isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) == "os"


def test_only_the_clock_knows_the_time() -> None:
    # logs writes down the time a line was made at, and the edge measures how long an answer took.
    for room, tree in modules():
        if room != "clock":
            names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            assert not names & {"now", "utcnow", "today"} or _only_asks_the_clock(tree), room


def _only_asks_the_clock(tree: ast.Module) -> bool:
    askers = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "now"]
    return all(isinstance(asker.value, ast.Name) and asker.value.id == "clock" for asker in askers)


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Every part of the document that is an object."""
    if isinstance(node, dict):
        yield node
        for part in node.values():
            yield from schemas(part)
    elif isinstance(node, list):
        for part in node:
            yield from schemas(part)


def test_patterns_mean_the_same_in_every_language() -> None:
    # In Python $ also matches before a last newline, and \d also digits that are not ASCII.
    for schema in schemas(CONTRACT.document):
        pattern = schema.get("pattern")
        if isinstance(pattern, str):
            assert pattern.startswith("^")
            assert pattern.endswith((r"$(?!\n)", "]*$")), pattern
            assert not re.search(r"\\[dws]", pattern), pattern


def test_what_goes_in_is_closed() -> None:
    for operation in OPERATIONS:
        for content in operation.get("requestBody", {}).get("content", {}).values():
            name = content["schema"]["$ref"].rpartition("/")[2]
            assert CONTRACT.document["components"]["schemas"][name]["additionalProperties"] is False, name


def test_every_string_that_goes_in_has_a_limit_and_no_nul() -> None:
    for name in ("NewUser", "Credentials"):
        for property_, schema in CONTRACT.document["components"]["schemas"][name]["properties"].items():
            assert "maxLength" in schema, property_
            assert "pattern" in schema or schema["format"] == "email", property_


def test_every_operation_declares_what_every_answer_carries() -> None:
    for operation in OPERATIONS:
        assert {"400", "408", "413", "431", "500"} <= operation["responses"].keys()
        if operation.get("security", CONTRACT.document["security"]):
            assert {"401", "503"} <= operation["responses"].keys()


GOOD = "{tags: [a], operationId: a, responses: {'200': {}}}"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("paths: {}\npaths: {}", "'paths' stands here twice"),
        ("paths: [", "is not YAML"),
        ("tags: [{name: a}]\npath: {}", "must have tags and paths"),
        ("tags: [{name: b}]\npaths: {}", "must describe the one tag 'a'"),
        ("tags: [{name: a}]\npaths: {/a: {get: " + GOOD.replace("[a]", "[b]") + "}}", "must have the one tag 'a'"),
        ("tags: [{name: a}]\npaths: {}\ncomponents: {schemas: {Problem: {}}}", "Problem is defined twice"),
        ("tags: [{name: a}]\npaths: {/a: {get: " + GOOD.replace("200", "400") + "}}", "exactly one 2xx"),
        (
            "tags: [{name: a}]\npaths: {/a: {get: "
            + GOOD.replace("responses", "security: [{bearer: []}, {}], responses")
            + "}}",
            "never optional",
        ),
    ],
)
def test_a_contract_that_cannot_be_served_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "openapi.yaml").write_text((ROOT / "openapi/openapi.yaml").read_text())
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ContractError, match=complaint):
        contract.load(tmp_path)
