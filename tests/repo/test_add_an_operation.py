"""The example of docs/add-an-operation.md passes all checks in a copy of the checkout."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import CHECKOUT
from tests.support.patience import PATIENCE_SECONDS
from tests.support.readme import Block, blocks

# The tests that a new operation can break. The slow ones that it does not affect are left out, too.
TOPICS = (
    "agreement",
    "document",
    "extremes",
    "architecture",
    "migrations",
    "notes",
    "plans",
    "policy",
    "privacy",
    "readme",
    "user_rows",
)
NAMED = (
    "tests/features/test_data_export.py",
    "tests/features/test_deletion.py::test_a_deletion_leaves_no_row",
    "tests/features/test_events.py::test_each_request_writes_exactly_its_events",
    # It reads schemathesis.toml.
    "tests/contract/test_schemathesis.py::test_a_403_is_expected_for_operations_that_users_may_not_call",
)
UNAFFECTED = (
    "tour or make_run or log_in_passes or postgresql or purge_without_an_order or accepts_authorized"
    " or rejects_all_other or store_extreme or rejects_a_nul or grow or migrate_at_once or without_libyaml"
    " or code_block_is_tested or examples_match"
)


@pytest.mark.slow
def test_the_example_of_an_operation_passes_all_checks(tmp_path: Path) -> None:
    copy = checkout(tmp_path / "charter")
    *example, last = blocks("docs/add-an-operation.md")
    written = [str(write(copy, block)) for block in example]
    code = [file for file in written if file.endswith(".py")]
    assert last.text == "make test\n"
    tests = [str(file.relative_to(copy)) for topic in TOPICS for file in (copy / "tests").rglob(f"test_{topic}.py")]
    run(copy, "ruff", "format", "--check", *code)
    run(copy, "ruff", "check", *code)
    # The worker processes of mypy have a time limit, which a busy machine exceeds.
    run(copy, "mypy", "--num-workers=0", *code)
    output = run(copy, "pytest", "-v", "-k", f"note or not ({UNAFFECTED})", *tests, *NAMED)
    assert output.count("tests/features/test_notes.py::") == 6
    # Two tests of extreme values, two of the example of a response, two of an accepted caller, and one of the others.
    assert len(re.findall(r"\[[a-z-]*addNote[a-z-]*\] PASSED", output)) == 7, output
    assert "test_each_operation_rejects_all_other_callers[getNote-sqlite] PASSED" in output


# The tests that compare the scopes of a user's tokens.
OF_SCOPES = (
    "features/test_auth.py",
    "features/test_roles.py",
    "features/test_users.py",
    "services/test_signing_keys.py",
)


@pytest.mark.slow
def test_the_tests_pass_after_the_example_requires_a_scope(tmp_path: Path) -> None:
    copy = checkout(tmp_path / "charter")
    for block in blocks("docs/add-an-operation.md")[:-1]:
        write(copy, block)
    change(copy / "openapi/notes.yaml", r"^( +)(tags: \[notes\])$", r"\1\2\n\1x-scopes: [notes]", count=3)
    change(copy / "openapi/openapi.yaml", r"^(  (?:support|user): \[)", r"\1notes, ", count=2)
    change(copy / "openapi/openapi.yaml", r"^(  admin:\n)", r"\1    - notes\n", count=1)
    run(copy, "pytest", "-k", "not postgresql", *(f"tests/{file}" for file in OF_SCOPES))


def change(file: Path, pattern: str, replacement: str, count: int) -> None:
    """Replace all matches in a file. Assert their number."""
    text, found = re.subn(pattern, replacement, file.read_text(), flags=re.MULTILINE)
    assert found == count
    file.write_text(text)


def checkout(copy: Path) -> Path:
    """Copy the checkout, with the cache of mypy, because most files are unchanged."""
    left = (".[!m]*", "data", "build", "dist", "node_modules", "__pycache__", "*.egg-info")
    shutil.copytree(CHECKOUT, copy, ignore=shutil.ignore_patterns(*left))
    (copy / "tests/node/node_modules").symlink_to(CHECKOUT / "tests/node/node_modules")
    return copy


def run(copy: Path, *command: str) -> str:
    """Run a Python module in the copy and return its output. Assert that it succeeds."""
    result = subprocess.run(
        [sys.executable, "-m", *command],
        check=False,
        cwd=copy,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout


def write(copy: Path, block: Block) -> Path:
    """Write a block to the file that the line before it names, at the end if that has settings.

    A row is added to the first table of a page.

    Asserts that a block of Python keeps the imports of the file.
    """
    (name,) = re.findall(r"`([^`]+)`", block.before)
    file: Path = copy / name
    there = file.read_text() if file.exists() else ""
    if file.suffix == ".md":
        file.write_text(re.sub(r"(\| *---.*\n)", lambda line: line[1] + block.text, there, count=1))
        return file
    if file.suffix == ".toml":
        file.write_text(f"{there}\n{block.text}")
        return file
    assert set(re.findall(r"^from .*", there, re.MULTILINE)) <= set(block.text.splitlines())
    file.write_text(block.text)
    return file
