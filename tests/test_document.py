"""The contract as a document: linted by Spectral, and its examples are what happens."""

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

from api import contract
from api.config import folder
from api.contract.document import Json

CONTRACT = contract.load(folder("openapi"))
BIN = Path(sys.executable).parent
NODE = Path(__file__).parent / "node"


def lint(document: Json, tmp_path: Path) -> set[tuple[str, str]]:
    """What Spectral finds in a document, down to mere hints: the rules, and where they are broken."""
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    command: list[str | Path] = [
        BIN / "node",
        NODE / "node_modules/.bin/spectral",
        "lint",
        "--ruleset",
        NODE / "spectral.yaml",
        file,
    ]
    told = subprocess.run(
        [*command, "--format=json", "--quiet"], check=False, capture_output=True, text=True, timeout=60
    )
    assert (told.returncode in {0, 1}, told.stderr) == (True, "")
    return {(found["code"], " ".join(map(str, found["path"]))) for found in json.loads(told.stdout)}


def test_spectral_finds_nothing(tmp_path: Path) -> None:
    assert lint(CONTRACT.document, tmp_path) == set()


def test_spectral_would_find_what_its_two_rulesets_are_about(tmp_path: Path) -> None:
    document: Any = deepcopy(CONTRACT.document)
    del document["components"]["schemas"]["NewUser"]["properties"]["username"]["maxLength"]
    document["paths"]["/api/v1/me"]["get"]["security"] = []
    del document["paths"]["/ping"]["get"]["description"]
    assert lint(document, tmp_path) == {
        ("operation-description", "paths /ping get"),
        ("owasp:api2:2023-read-restricted", "paths /api/v1/me get security"),
        ("owasp:api4:2023-string-limit", "components schemas NewUser properties username"),
    }
