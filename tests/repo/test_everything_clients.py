"""The generators of both clients accept a contract with every construct, and the clients call its operations."""

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.support.echoing import Everything
from tests.support.paths import BIN, CHECKOUT
from tests.support.serving import serving

NODE_MODULES = CHECKOUT / "tests/node/node_modules"
RGB = {"R": 1, "G": 2}
CALLER = {"identity": ["read", "write"]}
IMAGE = {"filename": "a.png", "type": "image/png", "size": 4, "sha256": sha256(b"\x89PNG").hexdigest()}
# The generator of the Python client omits lists and objects in paths and headers, type lists in paths, references to
# path items and into $defs. It omits ranges and XML in bodies and responses. It ignores styles without explode.
# Functions with several JSON types use a name that they do not import, models drop members of patternProperties, and
# cookies that are not texts raise an error. A body that is absent is still sent with its Content-Type.
# The tag, the function, its arguments, and the value of the response.
CALLS: list[tuple[str, str, dict[str, Any], Any]] = [
    ("parameters", "inside_segment", {"name": "b", "ext": "csv"}, {"name": "b", "ext": "csv"}),
    ("parameters", "replaced_parameter", {"name": "b", "ext": "pdf"}, {"name": "b", "ext": "pdf"}),
    ("parameters", "referenced_parameter", {"word": "b"}, {"word": "b"}),
    ("parameters", "query_exploded", {"rgb": RGB}, {"rgb": RGB}),
    ("parameters", "query_open", {"limit": 5, "others": {"x": 1}}, {"limit": 5, "others": {"x": 1}}),
    ("parameters", "cookies", {"session_id": "b"}, {"session_id": "b"}),
    ("bodies", "merge_patch", {"body": {"a": 1, "x": 2}}, {"body": {"a": 1, "x": 2}}),
    ("bodies", "optional_body", {"body": RGB}, {"body": RGB}),
    ("bodies", "post_form", {"body": {"a": 1, "list": ["b"]}}, {"body": {"a": 1, "list": ["b"]}}),
    ("bodies", "post_multipart", {"body": {"name": "b", "file": ""}}, {"body": {"name": "b", "file": IMAGE}}),
    ("bodies", "put_image", {"body": "\x89PNG"}, "\x89PNG"),
    ("responses", "statuses", {"status": 201}, "made"),
    ("responses", "statuses", {}, 1),
    ("responses", "only_default", {}, "default"),
    ("responses", "jsonify", {}, RGB),
    ("responses", "make_item", {"body": RGB}, {"id": 1}),
    ("responses", "read_item", {"id": 1}, RGB),
    ("responses", "remove_item", {"id": 1}, None),
    ("schemas", "echo_any_members", {"body": {"a": 1, "x": [None]}}, {"a": 1, "x": [None]}),
    ("schemas", "echo_map", {"body": {"x": 2**70}}, {"x": 2**70}),
    ("schemas", "echo_composed", {"body": {"a": 1, "b": "c"}}, {"a": 1, "b": "c"}),
    ("schemas", "echo_either", {"body": 5}, 5),
    ("schemas", "echo_pet", {"body": {"kind": "cat", "lives": 9}}, {"kind": "cat", "lives": 9}),
    ("schemas", "echo_tree", {"body": {"name": "b", "children": []}}, {"name": "b", "children": []}),
    ("schemas", "echo_numbers", {"body": {"price": 19.99}}, {"price": 19.99}),
    ("schemas", "echo_texts", {"body": {"country": "NO"}}, {"country": "NO"}),
    ("schemas", "echo_lists", {"body": [[1], [2]]}, [[1], [2]]),
    ("schemas", "echo_not", {"body": {"a": 3}}, {"a": 3}),
    ("versioned", "echo_nullable", {"body": {"text": None, "list": None}}, {"text": None, "list": None}),
    *(("security", name, {}, CALLER) for name in ("bearer", "oauth", "oidc", "optional_scheme", "scopes")),
]
ONLY: dict[str, list[tuple[str, str, dict[str, Any], Any]]] = {
    "3.0.3": [("versioned", "echo_sibling", {"body": {"word": "bcd"}}, {"word": "bcd"})],
    "3.1.0": [
        ("versioned", "echo_constant", {"body": {"kind": "fixed"}}, {"kind": "fixed"}),
        ("versioned", "echo_conditional", {"body": {"kind": "a", "size": 1}}, {"kind": "a", "size": 1}),
        ("versioned", "echo_names", {"body": {"x": 1}}, {"x": 1}),
        ("versioned", "echo_contains", {"body": [1, "b"]}, [1, "b"]),
    ],
}


def run(*command: str | Path, **options: Any) -> str:
    """Run a command and return its output. Assert that it succeeds."""
    result = subprocess.run(command, check=False, capture_output=True, text=True, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return str(result.stdout)


@pytest.mark.slow
def test_the_python_client_calls_operations_of_every_kind(everything: Everything, tmp_path: Path) -> None:
    document = everything.write(tmp_path)
    environment = {"PATH": str(BIN), "RUFF_NO_CACHE": "true"}
    templates = ("--custom-template-path", CHECKOUT / "clients/templates")
    config = tmp_path / "config.json"
    config.write_text(run(sys.executable, "-m", "tools.client_config", document, cwd=CHECKOUT))
    made = ("--path", document, "--output-path", tmp_path / "python", "--meta", "setup", "--config", config, *templates)
    run("openapi-python-client", "generate", *made, cwd=tmp_path, env=environment)
    calls = CALLS + ONLY[everything.contract.document["openapi"]]
    driver = CHECKOUT / "tests/support/everything_driver.py"
    with serving(everything.start()) as url:
        asked = [[tag, name, arguments, tag == "security"] for tag, name, arguments, _ in calls]
        given = json.dumps([f"{url}/api/v2", asked])
        served = json.loads(run(sys.executable, driver, input=given, env={"PYTHONPATH": str(tmp_path / "python")}))
    wrong = {
        name: answer
        for (_, name, _, expected), answer in zip(calls, served, strict=True)
        if answer[0] >= 400 or not (answer[1] == expected or _has(answer[1], expected))
    }
    assert wrong == {}, wrong


def _has(value: Any, expected: Any) -> bool:
    """Return True if an echo has the members that were sent. It also has those that were not, as null."""
    if isinstance(value, dict) and isinstance(expected, dict):
        return all(name in value and _has(value[name], member) for name, member in expected.items())
    return bool(value == expected)


@pytest.mark.slow
def test_the_typescript_client_calls_operations_of_every_kind(everything: Everything, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    environment = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    tools = NODE_MODULES / ".bin"
    # The generator writes invalid TypeScript for a path item outside of the components.
    document = everything.write(tmp_path)
    published = json.loads(document.read_text())
    del published["paths"]["/versioned/item"]
    document.write_text(json.dumps(published))
    types = (document, "--output", tmp_path / "everything.d.ts")
    run(tools / "openapi-typescript", *types, cwd=tmp_path, env=environment)
    program = (CHECKOUT / "tests/node/everything.ts").read_text()
    with serving(everything.start()) as url:
        (tmp_path / "program.mts").write_text(program.replace("http://127.0.0.1:8000", f"{url}/api/v2"))
        run(tools / "tsc", "--strict", "--noEmit", "--module", "nodenext", "program.mts", cwd=tmp_path, env=environment)
        seen = json.loads(run("node", "program.mts", cwd=tmp_path, env=environment))
    assert seen == {
        "inside": {"name": "b", "ext": "csv"},
        "simple": {"word": "bcd"},
        "query": 1.5,
        "styles": [["b", "c"], RGB],
        "comma": ["b", "c"],
        "exploded": {"rgb": RGB},
        "headed": [5, False],
        "bodies": [{"body": RGB}, {"body": {"a": 1}}, {"body": None}, {"a": 1, "list": ["b"]}],
        "items": [{"id": 1}, RGB, 204],
        "created": "made",
        "texts": ["ä\n", '{"R":1,"G":2}\n' * 3, 4],
        "schemas": [
            {"kind": "cat", "lives": 9},
            {"a": 1, "b": "c"},
            5,
            {"x": 1},
            {"name": "b", "children": [{"name": "c"}]},
            {"text": None, "list": None},
        ],
        "security": [CALLER, 401],
    }
