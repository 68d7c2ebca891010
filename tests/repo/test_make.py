"""A make target that cannot do its work says why, and what to do."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import CHECKOUT

FILES = ("requirements.lock", "requirements-dev.lock", "setup.cfg", "pyproject.toml")
NETWORK = "The installation failed. The first run needs the network. Run make again when it is available."
ANOTHER = "Charter needs Python 3.11 or later. Name one: make run PYTHON=python3.13"
# An interpreter that claims to be an older one.
OLD = f"""#!{sys.executable}
import sys
sys.version_info = (3, 10, 4)
exec(sys.argv[2])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the first steps depend on, older than any step."""
    for name in FILES:
        (tmp_path / name).write_text((CHECKOUT / name).read_text())
        os.utime(tmp_path / name, (0, 0))
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in a folder."""
    command = ["make", "-f", str(CHECKOUT / "Makefile"), *arguments]
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True)


def make(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    """Run make in a folder. Return its exit status and its error messages, without those of make itself."""
    result = run(folder, *arguments)
    return result.returncode, [line for line in result.stderr.splitlines() if not line.startswith("make")]


def install(folder: Path, step: str, pip: str) -> None:
    """Mark a step as done, and write a script that takes the place of pip."""
    (folder / ".venv/bin").mkdir(parents=True)
    for done in (".python", step):
        (folder / ".venv" / done).touch()
    (folder / ".venv/bin/pip").write_text(f"#!/bin/sh\n{pip}\n")
    (folder / ".venv/bin/pip").chmod(0o700)


def test_a_missing_python_is_named(folder: Path) -> None:
    assert make(folder, "run", "PYTHON=python3.99") == (2, [f"python3.99 is not installed. {ANOTHER}"])


def test_an_old_python_is_named_with_its_version(folder: Path) -> None:
    (folder / "old").write_text(OLD)
    (folder / "old").chmod(0o700)
    assert make(folder, "run", "PYTHON=./old") == (2, [f"./old is Python 3.10. {ANOTHER}"])


def test_an_environment_that_cannot_be_created_has_a_remedy(folder: Path) -> None:
    (folder / ".venv").touch()
    code, messages = make(folder, ".venv/.python", f"PYTHON={sys.executable}")
    remedy = "Use a clone that your user can write to, and a Python with the module venv."
    assert (code, messages[-1]) == (2, f"The folder .venv cannot be created. {remedy}")


@pytest.mark.parametrize("target", ["run", "check", "migration"])
def test_an_installation_without_network_has_a_remedy(folder: Path, target: str) -> None:
    install(folder, ".python" if target == "run" else ".run", "exit 1")
    assert make(folder, target, "BIN=.venv/bin") == (2, [NETWORK])


@pytest.mark.parametrize("step", [".python", ".run", ".test", ".ruff", ".node", "bench/flask/.installed"])
def test_a_slow_step_first_prints_what_it_does_and_how_long_that_takes(folder: Path, step: str) -> None:
    install(folder, ".run", "exit 1")
    for name in ("tests/node/package-lock.json", "benchmarks/speed/baselines/flask/requirements.txt"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).touch()
    if step == ".node":
        (folder / ".venv/.test").touch()
    (folder / ".venv" / step).unlink(missing_ok=True)
    # No step ends: each one prints its line before its first command.
    (folder / "python").write_text('#!/bin/sh\ntest "$1" = -c\n')
    (folder / "python").chmod(0o700)
    first = run(folder, f".venv/{step}", "PYTHON=./python").stdout.partition("\n")[0]
    assert re.fullmatch(r"(Creat|Install)ing .+\. This takes .*(second|minute)s?.*\.", first)


def test_a_migration_needs_only_ruff_of_the_tools_for_tests(folder: Path) -> None:
    install(folder, ".run", "echo $* > arguments; cat > requirements")
    assert make(folder, ".venv/.ruff") == (0, [])
    assert "--require-hashes -r /dev/stdin" in (folder / "arguments").read_text()
    wanted = (folder / "requirements").read_text()
    assert wanted.startswith("ruff==")
    assert wanted.count("==") == 1
    assert wanted in (CHECKOUT / "requirements-dev.lock").read_text()
    assert not wanted.rstrip("\n").endswith("\\")
