"""The rules of the architecture: names match the contract, imports follow the layers, and patterns are portable.

Two rules are tested elsewhere: docs/configuration.md lists every setting (test_readme), and the contract lists every
error code (test_errors).
"""

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterator
from configparser import ConfigParser
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from statistics import quantiles
from typing import Any

import pytest
from inflection import underscore

from api import contract
from api.app import formats
from api.contract.document.operation import Json, resolve
from api.contract.schema.formats import STANDARD
from tests.support.paths import CHECKOUT
from tests.support.shipped import CONTRACT

OPERATIONS = [operation.definition for operation in CONTRACT.operations()]
TAGS = {tag["name"] for tag in CONTRACT.document["tags"]}


def test_each_tag_has_a_contract_file_and_a_handler_module() -> None:
    files = {file.stem for file in (CHECKOUT / "openapi").glob("*.yaml")} - {"openapi"}
    modules = {file.stem for file in (CHECKOUT / "api/handlers").glob("*.py")} - {"__init__"}
    assert files == modules == TAGS == {operation["tags"][0] for operation in OPERATIONS}


@pytest.mark.parametrize("tag", sorted(TAGS))
def test_each_tag_has_a_test_file(tag: str) -> None:
    assert (CHECKOUT / f"tests/features/test_{tag}.py").is_file()


def test_the_contract_has_the_version_of_the_package() -> None:
    setup = ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    assert CONTRACT.document["info"]["version"] == setup["metadata"]["version"]


@pytest.mark.parametrize("tag", sorted(TAGS))
def test_operations_and_handlers_correspond(tag: str) -> None:
    module = import_module(f"api.handlers.{tag}")
    handlers = {
        name
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    assert handlers == {underscore(op["operationId"]) for op in OPERATIONS if op["tags"] == [tag]}


# Each folder and module of api/ may import only the siblings that are listed here. An unused permission is an error,
# too.
LAYERS: dict[str, set[str]] = {
    "clock": set(),
    "errors": set(),
    "oauth_errors": {"errors"},
    # A log line has a time.
    "logs": {"clock"},
    "crypto": {"clock", "errors"},
    "runtime": {"errors"},
    # The names of the signing algorithms are defined in crypto.
    "config": {"crypto"},
    "contract": {"clock", "errors", "runtime"},
    "storage": {"config", "errors", "runtime"},
    "models": {"storage"},
    "services": {"clock", "crypto", "errors", "logs", "models", "oauth_errors", "storage"},
    "handlers": {"contract", "crypto", "runtime", "services", "storage"},
    # Only app and cli import telemetry.
    "telemetry": {"clock", "config", "contract", "crypto", "errors", "logs", "storage"},
    # The composition root, and its part for mail.
    "mailing": {"config", "crypto", "services", "storage"},
    "app": {"config", "contract", "crypto", "mailing", "runtime", "services", "storage", "telemetry"},
    "server": {"app", "config", "contract", "errors", "logs", "runtime"},
    "cli": {
        "app",
        "clock",
        "config",
        "contract",
        "crypto",
        "errors",
        "logs",
        "mailing",
        "models",
        "runtime",
        "server",
        "services",
        "storage",
        "telemetry",
    },
}


# The same for the folders of api/contract.
CONTRACT_LAYERS: dict[str, set[str]] = {
    "document": set(),
    "http": {"document"},
    "schema": {"document"},
    "bodies": {"document", "http", "schema"},
    "middleware": {"bodies", "document", "http", "schema"},
    "dispatch": {"document", "http", "schema"},
    "checking": {"dispatch", "document", "middleware", "schema"},
    "rules": {"document", "schema"},
    "assembly": {"checking", "dispatch", "document", "http", "middleware", "schema"},
}


@cache
def modules() -> list[tuple[str, ast.Module]]:
    """Return each module of the package as (name, syntax tree). A name is a path such as `crypto/secret`."""
    package = CHECKOUT / "api"
    trees = {
        file.relative_to(package).with_suffix("").as_posix(): ast.parse(file.read_text())
        for file in sorted(package.rglob("*.py"))
        if file != package / "__init__.py"
    }
    return list(trees.items())


@cache
def imported(tree: ast.Module) -> list[str]:
    """Return the full names of all imports."""
    return list(imports(tree))


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports must be absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layers(package: str) -> dict[str, set[str]]:
    """Return what each folder or module of a package imports from its siblings."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, tree in modules():
        path = f"api.{name.replace('/', '.')}"
        if path.startswith(package) and path != f"{package}__init__":
            layer = path.removeprefix(package).split(".")[0]
            siblings = {full.removeprefix(package).split(".")[0] for full in imported(tree) if full.startswith(package)}
            # `import api` would allow access to every layer.
            assert "api" not in imported(tree)
            found[layer] |= siblings - {layer}
    return found


def test_layers_import_only_the_allowed_layers() -> None:
    assert layers("api.") == LAYERS
    assert layers("api.contract.") == CONTRACT_LAYERS


def test_the_package_root_has_only_the_named_modules() -> None:
    beside = {file.stem for file in (CHECKOUT / "api").glob("*.py")}
    assert beside == {"__init__", "app", "clock", "errors", "logs", "mailing", "oauth_errors"}


MAX_LINES, MAX_P90 = 40, 15


def test_functions_are_short() -> None:
    lengths = {
        f"{name}:{node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}
    assert quantiles(lengths.values(), n=10)[-1] <= MAX_P90


def test_no_imports_form_a_cycle() -> None:
    trees = {f"api.{name.replace('/', '.')}".removesuffix(".__init__"): tree for name, tree in modules()}
    graph = {
        name: {full if full in trees else full.rpartition(".")[0] for full in imported(tree)} & trees.keys() - {name}
        for name, tree in trees.items()
    }
    # static_order raises CycleError, which names the modules.
    assert len([*TopologicalSorter(graph).static_order()]) == len(trees)


def test_other_packages_import_only_the_interface_of_contract() -> None:
    public = {"api.contract", *(f"api.contract.{name}" for name in contract.__all__)}
    for name, tree in modules():
        if not name.startswith("contract/"):
            assert {full for full in imported(tree) if full.startswith("api.contract")} <= public, name


def test_setup_lists_every_package() -> None:
    setup = ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    mapped = dict(line.split(" = ") for line in setup["options"]["package_dir"].strip().splitlines())
    folders = {"api": "api", **mapped}
    found = {
        ".".join([package, *file.parent.relative_to(CHECKOUT / folder).parts])
        for package, folder in folders.items()
        for file in (CHECKOUT / folder).rglob("*.py")
    }
    assert setup["options"]["packages"].split() == sorted(found | folders.keys())


@pytest.mark.parametrize(
    ("library", "places"),
    [
        ("jwt", {"crypto/access_tokens"}),
        ("cryptography", {"crypto/signing_keys"}),
        ("bcrypt", {"crypto/password_hasher"}),
        ("connexion", {"app", "contract/", "server/connexion_import"}),
        ("flask", {"contract/dispatch/flask_app"}),
        (
            "starlette",
            {
                "contract/",
                "runtime/shutdown",
                "server/response_writer",
                "server/supervisor",
                "server/uvicorn_server",
                "telemetry/exporter",
            },
        ),
        (
            "sqlalchemy",
            {
                "config/parsers",
                "config/settings",
                "models/",
                "services/",
                "storage/database",
                "storage/engine",
                "storage/partial_index",
                "storage/rate_limit_store",
                "storage/revisions",
                "storage/table_recreation",
                "storage/triggers",
            },
        ),
        ("alembic", {"storage/revisions", "storage/table_recreation"}),
        ("opentelemetry", {"telemetry/tracing"}),
        ("prometheus_client", {"telemetry/exporter", "telemetry/metrics"}),
        (
            "uvicorn",
            {
                "cli/main",
                "server/protocol",
                "server/response_writer",
                "server/supervisor",
                "server/upgrade",
                "server/uvicorn_server",
                "server/worker",
            },
        ),
    ],
)
def test_each_library_is_imported_only_where_listed(library: str, places: set[str]) -> None:
    # A place is a module, or a folder that may use the library throughout.
    users = {name for name, tree in modules() if any(full.split(".")[0] == library for full in imported(tree))}
    found = {name if name in places else f"{name.partition('/')[0]}/" for name in users}
    assert found == places


def test_only_config_reads_the_environment() -> None:
    readers = {name for name, tree in modules() if any(_reads_environment(node) for node in ast.walk(tree))}
    assert readers == {"config/settings"}


def _reads_environment(node: ast.AST) -> bool:
    names = {"environ", "environb", "getenv"}
    if isinstance(node, ast.Import):
        # The check below only finds uses of the name os.
        return any(alias.name == "os" and alias.asname for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module == "os" and bool(names & {alias.name for alias in node.names})
    return isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) == "os"


# The functions that read a clock of the process, the machine or the database.
CLOCKS = {"monotonic", "monotonic_ns", "now", "perf_counter", "perf_counter_ns", "time", "time_ns", "today", "utcnow"}


def test_only_the_clock_module_reads_the_time() -> None:
    calls = {
        (name, full)
        for name, tree in modules()
        if name != "clock"
        for full in (
            *imported(tree),
            *(ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)),
        )
        if full.rpartition(".")[2] in CLOCKS
    }
    # These measure durations. fromtimestamp reads no clock, and datetime.time is a type.
    assert {(name, full) for name, full in calls if full not in {"clock.now", "datetime.time"}} == {
        ("cli/doctor/database", "time.perf_counter"),
        ("cli/doctor/host", "time.perf_counter"),
        ("contract/middleware/edge", "time.perf_counter"),
        ("runtime/background", "time.monotonic"),
        ("runtime/bulkhead", "time.monotonic"),
        ("runtime/thread_pool", "time.monotonic"),
        ("server/protocol", "time.monotonic"),
        ("services/mail_delivery", "time.monotonic"),
        ("server/supervisor", "time.monotonic"),
        ("server/worker", "time.monotonic"),
        ("services/mail_delivery", "time.monotonic"),
        ("storage/change_feed", "time.monotonic"),
        ("storage/change_monitor", "time.monotonic"),
    }


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in the document."""
    if isinstance(node, dict):
        yield node
        for part in node.values():
            yield from schemas(part)
    elif isinstance(node, list):
        for part in node:
            yield from schemas(part)


def test_patterns_describe_the_whole_text() -> None:
    for schema in schemas(CONTRACT.document):
        pattern = schema.get("pattern")
        if isinstance(pattern, str):
            assert pattern.startswith("^"), pattern
            assert pattern.endswith("$"), pattern


def subschemas(schema: Json) -> Iterator[Json]:
    """Yield a schema and all its parts, with references resolved."""
    schema = resolve(schema, CONTRACT.document)
    yield schema
    parts = [
        *schema.get("properties", {}).values(),
        *(part for name in ("allOf", "anyOf", "oneOf") for part in schema.get(name, [])),
    ]
    parts += [schema[name] for name in ("additionalProperties", "items") if isinstance(schema.get(name), dict)]
    for part in parts:
        yield from subschemas(part)


def request_schemas() -> Iterator[Json]:
    """Yield every schema of a request body."""
    for operation in OPERATIONS:
        for content in resolve(operation.get("requestBody", {}), CONTRACT.document).get("content", {}).values():
            yield from subschemas(content["schema"])


def test_request_strings_have_a_maximum_length_and_a_pattern() -> None:
    strings = [schema for schema in request_schemas() if schema.get("type") == "string" and "enum" not in schema]
    assert strings
    assert [schema for schema in strings if not is_bounded(schema)] == []


def is_bounded(schema: Json) -> bool:
    """Return True if the schema of a string has a maximum length, and a pattern or a format that is checked.

    A binary body may have all bytes.
    """
    return "maxLength" in schema and ("pattern" in schema or schema.get("format") in CHECKED_FORMATS)


CHECKED_FORMATS = {*STANDARD, *formats("Charter"), "binary"}


def test_formats_of_a_service_and_bytes_need_no_pattern() -> None:
    assert is_bounded({"type": "string", "format": "binary", "maxLength": 65_536})
    assert is_bounded({"type": "string", "format": "username", "maxLength": 64})
    assert not is_bounded({"type": "string", "format": "binary"})
    assert not is_bounded({"type": "string", "format": "password", "maxLength": 64})
