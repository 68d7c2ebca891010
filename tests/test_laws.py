"""The house keeps its own laws: names are addresses, layers look one way, and what is said once is said everywhere.

Two of its laws are proven elsewhere: every setting stands in docs/configuration.md (test_readme), and every error
code in the contract (test_errors).
"""

import ast
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator
from configparser import ConfigParser
from importlib import import_module
from typing import Any

import pytest
from inflection import underscore

from api import contract
from api.config import folder
from api.contract.document import Json, resolve
from tests.places import CHECKOUT

CONTRACT = contract.load(folder("openapi"))
OPERATIONS = [operation for _, _, operation in CONTRACT.operations()]
TAGS = {tag["name"] for tag in CONTRACT.document["tags"]}


def test_a_tag_is_a_file_and_a_module() -> None:
    files = {file.stem for file in (CHECKOUT / "openapi").glob("*.yaml")} - {"openapi"}
    modules = {file.stem for file in (CHECKOUT / "api/handlers").glob("*.py")} - {"__init__"}
    assert files == modules == TAGS == {operation["tags"][0] for operation in OPERATIONS}


@pytest.mark.parametrize("tag", sorted(TAGS))
def test_a_tag_has_its_tests(tag: str) -> None:
    assert (CHECKOUT / f"tests/test_{tag}.py").is_file()


def test_the_contract_has_the_version_of_the_package() -> None:
    setup = ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    assert CONTRACT.document["info"]["version"] == setup["metadata"]["version"]


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


# What each room imports of ours. A room that is not listed is a defect, and so is a permission that nobody uses.
LAYERS: dict[str, set[str]] = {
    "answer": set(),
    # What whoever runs the service does beside it, while it runs.
    "admin": {"clock", "console", "database", "errors", "models", "services"},
    # It puts everything together; what it leaves out, others bring along.
    "app": {
        "background",
        "config",
        "contract",
        "cursors",
        "database",
        "hashing",
        "keys",
        "lane",
        "memory",
        "metrics",
        "refresh_tokens",
        "revisions",
        "security",
        "services",
        "stopping",
        "tokens",
        "traces",
    },
    # A task may find the database unavailable.
    "background": {"errors"},
    "changes": {"database"},
    # It starts the application, and does by hand what the application does not: migrate, print the contract.
    "cli": {
        "admin",
        "config",
        "console",
        "contract",
        "doctor",
        "exporter",
        "lean",
        "logs",
        "revisions",
        "server",
        "supervisor",
    },
    "clock": set(),
    # It takes the names of the algorithms from where they are known.
    "config": {"keys", "parsers", "secret"},
    "console": {"config", "database", "errors", "keys", "logs", "revisions", "services"},
    # It writes times, answers with errors, and logs each request; it knows no feature.
    "contract": {"clock", "errors", "logs", "threads"},
    "cursors": {"errors", "secret"},
    "database": {"engine", "errors"},
    # It looks at all that a server would need.
    "doctor": {"changes", "config", "console", "database", "errors", "hashing", "revisions", "services", "tokens"},
    "engine": set(),
    "errors": set(),
    # It tells its library where the figures are, which the library takes from the environment.
    "exporter": {"config"},
    # Beside their services they need the types of what they ask for: Client, Contract, Cursors, Db, Hasher, Identity,
    # Stopping.
    "handlers": {"contract", "cursors", "database", "hashing", "security", "services", "stopping"},
    "hashing": set(),
    "keys": {"secret"},
    # Its refusal has the one shape.
    "lane": {"errors"},
    "lean": set(),
    # A line says when it was made.
    "logs": {"clock"},
    "memory": {"changes", "database", "threads", "watch"},
    # It counts what the edge tells, the hashes, and the connections of the database.
    "metrics": {"clock", "contract", "database", "hashing"},
    "models": {"clock", "database"},
    "parsers": set(),
    "refresh_tokens": {"secret"},
    "revisions": {"config", "database"},
    # It is the body of the contract's Identify, and says of what type the user is.
    "security": {"contract", "database", "errors", "keys", "logs", "memory", "models", "services", "tokens"},
    "secret": set(),
    # Its limits are the edge's, and its refusals have the one shape.
    "protocol": {"answer", "contract", "errors", "stopping", "transport"},
    "server": {"app", "config", "logs", "stopping"},
    "services": {
        "clock",
        "cursors",
        "database",
        "errors",
        "hashing",
        "keys",
        "logs",
        "memory",
        "models",
        "refresh_tokens",
        "tokens",
    },
    # It has an error of its own.
    "stopping": {"errors"},
    "supervisor": {"config", "lean", "server", "stopping"},
    "tokens": {"clock", "errors", "keys"},
    "threads": set(),
    # The lines of a request name its span.
    "traces": {"contract", "logs"},
    "transport": set(),
    "watch": {"changes", "database"},
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Each module of the package, as (room, syntax tree)."""
    for file in (CHECKOUT / "api").rglob("*.py"):
        room = file.relative_to(CHECKOUT / "api").parts[0].removesuffix(".py")
        if room != "__init__":
            yield room, ast.parse(file.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    """The full names of everything that is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import says the whole name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_layers_look_one_way() -> None:
    layers: dict[str, set[str]] = defaultdict(set)
    for room, tree in modules():
        # `import api` would be a way into every room.
        layers[room] |= {f"{name}.".split(".")[1] for name in imported(tree) if name.split(".")[0] == "api"} - {room}
    assert layers == LAYERS


@pytest.mark.parametrize(
    ("library", "rooms"),
    [
        ("jwt", {"tokens"}),
        ("cryptography", {"keys"}),
        ("bcrypt", {"hashing"}),
        ("connexion", {"app", "contract", "lean"}),
        ("flask", {"contract"}),
        ("starlette", {"answer", "contract", "errors", "server", "stopping", "supervisor"}),
        ("sqlalchemy", {"config", "database", "engine", "models", "parsers", "revisions", "services"}),
        ("alembic", {"revisions"}),
        ("opentelemetry", {"traces"}),
        ("prometheus_client", {"exporter", "metrics"}),
        ("uvicorn", {"answer", "cli", "protocol", "server", "supervisor"}),
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
    if isinstance(node, ast.Import):
        # Under another name, what it is asked for could not be seen below.
        return any(alias.name == "os" and alias.asname for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module == "os" and bool(names & {alias.name for alias in node.names})
    return isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) == "os"


# Whatever they are asked of: a clock of the process, of the machine or of the database.
CLOCKS = {"monotonic", "monotonic_ns", "now", "perf_counter", "perf_counter_ns", "time", "time_ns", "today", "utcnow"}


def test_only_the_clock_knows_the_time() -> None:
    asked = {
        (room, name)
        for room, tree in modules()
        if room != "clock"
        for name in (
            *imported(tree),
            *(ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)),
        )
        if name.rpartition(".")[2] in CLOCKS
    }
    # The edge measures how long an answer takes, the watch how old its knowledge is, a feed how long it waits, the
    # lane and the doctor how long a hash takes, the supervisor how long its workers take to end, and the
    # protocol how old a connection is.
    # (Nobody asks a clock by turning seconds into a time: fromtimestamp.)
    assert {(room, name) for room, name in asked if name != "clock.now"} == {
        ("background", "time.monotonic"),
        ("contract", "time.perf_counter"),
        ("changes", "time.monotonic"),
        ("doctor", "time.perf_counter"),
        ("lane", "time.monotonic"),
        ("protocol", "time.monotonic"),
        ("supervisor", "time.monotonic"),
        ("watch", "time.monotonic"),
    }


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
            assert pattern.endswith(r"$(?!\n)") or pattern == r"^[^\x00]*$", pattern
            assert not re.search(r"\\[dws]", pattern), pattern


def inside(schema: Json) -> Iterator[Json]:
    """A schema and all that it is made of, behind its references."""
    schema = resolve(schema, CONTRACT.document)
    yield schema
    parts = [
        *schema.get("properties", {}).values(),
        *(part for name in ("allOf", "anyOf", "oneOf") for part in schema.get(name, [])),
    ]
    parts += [schema[name] for name in ("additionalProperties", "items") if isinstance(schema.get(name), dict)]
    for part in parts:
        yield from inside(part)


def taken() -> Iterator[Json]:
    """Every schema of something that is sent in a body."""
    for operation in OPERATIONS:
        for content in resolve(operation.get("requestBody", {}), CONTRACT.document).get("content", {}).values():
            yield from inside(content["schema"])


def test_what_goes_in_is_closed() -> None:
    for schema in taken():
        assert schema.get("type") != "object" or schema["additionalProperties"] is False, schema


def test_every_string_that_goes_in_has_a_limit_and_no_nul() -> None:
    strings = [schema for schema in taken() if schema["type"] == "string" and "enum" not in schema]
    assert strings
    for schema in strings:
        assert "maxLength" in schema, schema
        assert "pattern" in schema or schema["format"] == "email", schema


def test_every_operation_declares_what_every_answer_carries() -> None:
    for operation in OPERATIONS:
        assert {"400", "408", "413", "431", "500"} <= operation["responses"].keys()
        if operation.get("security", CONTRACT.document["security"]):
            assert {"401", "503"} <= operation["responses"].keys()
