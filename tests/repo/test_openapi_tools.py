"""Common tools accept the published contract: openapi-generator, Dredd, and Schemathesis without configuration."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile

import httpx
import pytest
from connexion import ConnexionMiddleware

from api import contract
from api.app import create_app
from api.config import Config
from tests.support.paths import BIN, CHECKOUT
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import newcomer
from tests.support.shipped import CONTRACT
from tests.support.success import success_of

DREDD = CHECKOUT / "tests/node/node_modules/.bin/dredd"

pytestmark = pytest.mark.slow


@pytest.fixture
def config(sqlite_config: Config) -> Config:
    return sqlite_config


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """A file with the contract as clients get it."""
    file = tmp_path / "contract.json"
    file.write_text(json.dumps(contract.published(CONTRACT)))
    return file


# A generator of openapi-generator ends before the code of the second compiler and of parallel collection pays off.
_SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


def run(folder: Path, *command: str | Path) -> str:
    """Run a command in a folder with the tools of these tests, and return its output. It must succeed."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    # Not a pipe: Node exits before all of a long output is in the pipe.
    with TemporaryFile("w+") as output:
        result = subprocess.run(
            command,
            check=False,
            cwd=folder,
            env={"PATH": path, "HOME": str(folder), "JAVA_TOOL_OPTIONS": _SHORT_LIVED},
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE_SECONDS,
        )
        output.seek(0)
        text = output.read()
    assert result.returncode == 0, text
    return text


LANGUAGES = ["java", "go"]


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a client for each language. One process generates them all, because its start takes longest."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "contract.json").write_text(json.dumps(contract.published(CONTRACT)))
    for language in LANGUAGES:
        options = {"generatorName": language, "inputSpec": "contract.json", "outputDir": language}
        (folder / f"{language}.json").write_text(json.dumps(options))
    configurations = [f"{language}.json" for language in LANGUAGES]
    run(folder, BIN / "openapi-generator-cli", "batch", "--fail-fast", "--threads=1", *configurations)
    return folder


@pytest.mark.parametrize("language", LANGUAGES)
def test_openapi_generator_makes_a_client_with_our_names(generated: Path, language: str) -> None:
    files = (generated / language).glob("**/*")
    models = {file.stem.removeprefix("model_").replace("_", "").lower() for file in files}
    assert {name.lower() for name in ("NewUser", "TokenPair", "Problem", "SessionPage")} <= models


def test_dredd_finds_every_response_of_the_contract(tmp_path: Path, document: Path) -> None:
    listed = run(tmp_path, BIN / "node", DREDD, document, "http://127.0.0.1:9", "--names", "--loglevel=error")
    total = sum(len(operation.responses) for operation in CONTRACT.operations())
    assert f"{total} total" in listed


# Dredd sends the examples in the order of the contract. Other operations need values that exist only at run time.
ORIGIN = "https://app.example.com"
PASSING = ["signUp", "logIn", "getProfile", "listSessions", "ping", "checkReadiness", "getContract", "getSigningKeys"]


@pytest.fixture
def app(config: Config) -> ConnexionMiddleware:
    """An application with all optional headers of responses, because Dredd requires them, and the default limits."""
    return create_app(replace(config, cors_origins=(ORIGIN,), cookies="refresh", rate_limits=()))


def test_dredd_accepts_the_responses_to_the_examples(tmp_path: Path, document: Path, server: str) -> None:
    with httpx.Client(base_url=server) as client:
        token = newcomer(client, "bobby").token
    names = {
        operation.id: " > ".join(
            [operation.path, operation.definition["summary"], success_of(operation), "application/json"]
        )
        for operation in CONTRACT.operations()
        if success_of(operation) != "204"
    }
    only = [f"--only={names[operation_id]}" for operation_id in PASSING]
    headers = [f"--header=Authorization: Bearer {token}", f"--header=Origin: {ORIGIN}"]
    tried = run(tmp_path, BIN / "node", DREDD, document, server, *headers, *only)
    assert f"{len(PASSING)} passing, 0 failing, 0 errors" in tried


# The coverage phase, which tries the limits of each schema, does not depend on these options. Other seeds and more
# examples find no more: the fuzzing of tests/contract/test_schemathesis.py is the thorough one.
QUICK = ("--max-examples=3", "--seed=1", "--no-color")


def test_schemathesis_signs_up_and_passes_from_an_empty_folder(tmp_path: Path, server: str) -> None:
    command = BIN / "schemathesis", "run", f"{server}/openapi.json", *QUICK
    first = run(tmp_path, *command)
    assert "signed up via POST /api/v1/auth/signup and logged in" in " ".join(first.split())
    # The email is in use now, so the second run has no token. A few operations show it.
    second = run(tmp_path, *command, "--include-tag=auth", "--phases=fuzzing")
    assert "continuing without authentication" in " ".join(second.split())
