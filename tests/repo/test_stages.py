"""The stages: a skip does not count as success, and continuous integration runs all of the tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import CHECKOUT

SKIPPED = """
import pytest

def test_passes():
    pass

@pytest.mark.skip(reason="no browser here")
def test_is_skipped():
    pass

@pytest.mark.xfail
def test_fails_as_expected():
    assert False
"""
MODULE = """
import pytest

pytest.skip("no database here", allow_module_level=True)
"""
QUICK = """
import pytest

@pytest.mark.parametrize("config", ["sqlite", "postgresql"])
def test_each(config):
    pass

@pytest.mark.slow
def test_slow():
    pass

@pytest.fixture
def postgres():
    pass

def test_on_postgresql(postgres):
    pass
"""
# Stands in for make: it prints what the target would, and fails for the targets in FAILS.
MAKE = """#!/bin/sh
echo "made $1"
[ "$1" != test ] || echo "1 warning in 3 files"
[ "$1" != test ] || echo "2400 passed in 280.12s (0:04:40)"
[ "$1" != soak ] || echo "90 passed in 600.00s"
case " $FAILS " in *" $1 "*) exit 2 ;; esac
"""


def outcome_of(folder: Path, program: str, *options: str) -> tuple[int, str]:
    """Run pytest with the plugin of the stages. Return its exit code and the last line of its output."""
    (folder / "test_program.py").write_text(program)
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.stages", "-p", "no:schemathesis"]
    command: list[str | Path] = [*pytest, *options, folder]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT)}
    result = subprocess.run(
        [*command, "-o", "markers=slow"], check=False, cwd=folder, env=environment, capture_output=True, text=True
    )
    return result.returncode, result.stdout.splitlines()[-1].partition(" in ")[0]


@pytest.mark.slow
def test_a_skipped_test_fails(tmp_path: Path) -> None:
    assert outcome_of(tmp_path, SKIPPED) == (1, "1 passed, 1 xfailed, 1 error")


@pytest.mark.slow
def test_a_skipped_module_fails(tmp_path: Path) -> None:
    assert outcome_of(tmp_path, MODULE) == (2, "1 error")


@pytest.mark.slow
def test_quick_excludes_slow_tests_and_postgresql(tmp_path: Path) -> None:
    assert outcome_of(tmp_path, QUICK) == (0, "4 passed")
    assert outcome_of(tmp_path, QUICK, "--quick") == (0, "1 passed, 3 deselected")


@pytest.mark.parametrize(
    ("fails", "made", "succeeds"),
    [("", ["test", "soak"], True), ("soak", ["test", "soak"], False), ("test", ["test"], False)],
)
def test_integration_runs_test_and_soak_and_ends_with_the_summary(
    tmp_path: Path, fails: str, made: list[str], succeeds: bool
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/make").write_text(MAKE)
    (tmp_path / "bin/make").chmod(0o700)
    (tmp_path / ".ci").mkdir()
    script = shutil.copy(CHECKOUT / ".ci/run", tmp_path / ".ci/run")
    path = f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "FAILS": fails, "TMPDIR": str(tmp_path)}
    result = subprocess.run([script], check=False, env=environment, capture_output=True, text=True)
    lines = result.stdout.splitlines()
    assert [line.partition(" ")[2] for line in lines if line.startswith("made ")] == made
    assert (lines[-1], result.returncode == 0) == ("2400 passed in 280.12s (0:04:40)", succeeds)
    assert {file.name for file in tmp_path.iterdir()} == {"bin", ".ci"}
