"""The contract gives clients: a Python client and TypeScript types, whose names read well and whose types hold."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, get_args, get_type_hints

import httpx
import pytest
from inflection import underscore

from api import contract
from api.config import Config
from api.config.paths import resource_dir
from api.contract.document.model import Json, resolve
from tests.support.paths import BIN, CHECKOUT
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import newcomer
from tests.support.readme import blocks

# Generated once, and used by one after the other.
pytestmark = pytest.mark.xdist_group("clients")

NODE_MODULES = CHECKOUT / "tests/node/node_modules"
CONTRACT = contract.load(resource_dir("openapi"))
OPERATIONS = {operation["operationId"]: operation for _, _, operation in CONTRACT.operations()}


@pytest.fixture
def config(sqlite_config: Config) -> Config:
    return sqlite_config


def run(where: Path, *command: str | Path) -> str:
    """What a command prints that succeeds in a folder and warns of nothing."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        command, check=False, cwd=where, env={"PATH": path}, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert (result.returncode, result.stderr) == (0, ""), result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which both clients are at hand, as `make clients` generates them."""
    generated, folder = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("clients")
    # The environment of these tests is there; `-o` keeps make from bringing it up to date.
    there = ["-o", ".venv/.test", "-o", ".venv/.node", f"BIN={BIN}"]
    run(CHECKOUT, "make", "clients", *there, f"CLIENTS={generated}")
    install = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target"]
    run(folder, sys.executable, *install, folder, generated / "python")
    (folder / "charter.d.ts").write_text((generated / "typescript/charter.d.ts").read_text())
    (folder / "node_modules").symlink_to(NODE_MODULES)
    return folder


PYTHON = (sys.executable, "-m", "mypy", "--strict", "--config-file=", "charter_client", "program.py")
TYPESCRIPT = (NODE_MODULES / ".bin/tsc", "--strict", "--noEmit", "--module", "nodenext", "program.mts")


@cache
def check(clients: Path, program: str, *command: str | Path) -> None:
    """Check the types of a program and of what it uses: once, for they are the same wherever it is run."""
    (clients / str(command[-1])).write_text(program)
    run(clients, *command)


def python(clients: Path, program: str, server: str) -> str:
    """What a program prints that uses the Python client, once the types of both are checked."""
    check(clients, program, *PYTHON)
    (clients / "program.py").write_text(program.replace("http://127.0.0.1:8000", server))
    return run(clients, sys.executable, "program.py")


def typescript(clients: Path, program: str, server: str) -> str:
    """What a program prints that uses the TypeScript types, once it is checked against them."""
    check(clients, program, *TYPESCRIPT)
    (clients / "program.mts").write_text(program.replace("http://127.0.0.1:8000", server))
    return run(clients, "node", "program.mts")


RunProgram = Callable[[Path, str, str], str]


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize(("use", "file"), [(python, "support/journey.py"), (typescript, "node/journey.ts")])
def test_a_client_program_passes_type_checks_and_runs(
    clients: Path, server: str, run_program: RunProgram, file: str
) -> None:
    journey = (CHECKOUT / "tests" / file).read_text()
    assert json.loads(run_program(clients, journey, server)) == {
        "signUp": ["alice", "alice@example.com"],
        "refused": [400, "INVALID_INPUT", [["/body/password", "TOO_SHORT"], ["/body/username", "TOO_SHORT"]]],
        "logIn": [900, "password profile sessions"],
        "refreshTokens": [True, 30 * 24 * 60 * 60],
        "profile": [True, "alice", True],
        "protected": "Your token is good.",
        "keys": [["EC", "P-256"]] * 2,
        "sessions": [[False, "127.0.0.1"], [True, "127.0.0.1"]],
        "lastPage": None,
        "revokeSession": [204, "INVALID_TOKEN"],
        "changePassword": [204, 900],
        "logOut": 204,
        "afterwards": [401, "INVALID_TOKEN", "INVALID_REFRESH_TOKEN"],
    }


@pytest.mark.parametrize(("use", "language"), [(python, "python"), (typescript, "ts")])
def test_the_client_examples_in_the_docs_work(
    clients: Path, server: str, run_program: RunProgram, language: str
) -> None:
    with httpx.Client(base_url=server) as client:
        newcomer(client, "alice")
    assert sorted(block.language for block in blocks("docs/clients.md")) == ["", "python", "ts"]
    programs = {block.language: block.text for block in blocks("docs/clients.md")}
    assert run_program(clients, programs[language], server) == programs[""]


@pytest.fixture
def imported(clients: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A module of the Python client, by its name."""
    monkeypatch.syspath_prepend(clients)
    return lambda name: import_module(f"charter_client.{name}")


def test_every_name_in_the_python_client_is_in_the_contract(imported: Callable[[str], Any]) -> None:
    found = {
        (tag.name, function.name)
        for tag in iter_modules(imported("api").__path__)
        for function in iter_modules(imported(f"api.{tag.name}").__path__)
    }
    assert found == {(operation["tags"][0], underscore(name)) for name, operation in OPERATIONS.items()}
    # What has no name of its own in the contract would be here under one that the generator made up.
    models = set(imported("models").__all__)
    assert models == {name for name, schema in CONTRACT.document["components"]["schemas"].items() if is_class(schema)}
    assert [name for name in models if not re.fullmatch("([A-Z][a-z]+)+", name)] == []


def is_class(schema: Json) -> bool:
    return schema["type"] == "object" or "enum" in schema


def test_enum_members_are_named_like_their_values(imported: Callable[[str], Any]) -> None:
    models = vars(imported("models")).values()
    enums = [model for model in models if isinstance(model, type) and issubclass(model, StrEnum)]
    names = {member.name: re.sub("[^a-z0-9]", "_", member.value.lower()).upper() for enum in enums for member in enum}
    assert {"EMAIL_TAKEN", "TOO_SHORT"} <= names.keys()
    assert list(names) == list(names.values())


def test_the_client_accepts_an_unknown_problem_code(imported: Callable[[str], Any]) -> None:
    body = {"type": "about:blank", "title": "Conflict", "status": 409, "detail": "Too late.", "code": "TOO_LATE"}
    problem = imported("models").Problem.from_dict(body)
    assert (problem.status, problem.code, problem.to_dict()) == (409, "TOO_LATE", body)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_declared_response_has_a_type(imported: Callable[[str], Any], name: str) -> None:
    operation = OPERATIONS[name]
    function = imported(f"api.{operation['tags'][0]}.{underscore(name)}").sync
    types = {response.__name__ for response in get_args(get_type_hints(function)["return"])}
    # None is for an answer that is not declared.
    assert types == {*declared_types(operation), "NoneType"}


def declared_types(operation: Json) -> Iterator[str]:
    """The name of the schema of each answer, or Any for the one that has no body."""
    for status, response in operation["responses"].items():
        content = resolve(response, CONTRACT.document).get("content", {})
        assert bool(content) is (status != "204")
        yield from (media["schema"]["$ref"].rpartition("/")[2] for media in content.values())
        if not content:
            yield "Any"
