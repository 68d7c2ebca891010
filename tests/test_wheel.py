"""The wheel: installed where there is no checkout, it holds all that the service needs."""

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import httpx
import pytest
from starlette.testclient import TestClient

from tests.conftest import newcomer
from tests.test_cli import CHECKOUT, Charter


@pytest.fixture
def installed(tmp_path: Path) -> Charter:
    """Charter from its wheel, in an environment that sees its dependencies but no checkout; nothing is downloaded."""
    source = tmp_path / "source"
    left = (".*", "data", "build", "dist", "node_modules", "__pycache__", "*.egg-info", "tests")
    shutil.copytree(CHECKOUT, source, ignore=shutil.ignore_patterns(*left))
    # What an earlier build left behind.
    for stale in ("build/lib/api/stale.py", "dist/charter-0.0.1-py3-none-any.whl"):
        (source / stale).parent.mkdir(parents=True)
        (source / stale).touch()
    # The environment of these tests is there; `-o` keeps make from bringing it up to date, with this copy in it.
    make = ["make", "-o", ".venv/.run", "wheel", f"BIN={Path(sys.executable).parent}"]
    subprocess.run(make, check=True, cwd=source, capture_output=True, timeout=120)
    (wheel,) = (source / "dist").iterdir()
    with ZipFile(wheel) as packed:
        assert "api/cli.py" in packed.namelist()
        assert "api/stale.py" not in packed.namelist()
        assert "api/openapi/auth.yaml" in packed.namelist()
        assert "api/openapi/released.json" not in packed.namelist()

    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(environment)}))
    # The checkout is installed by a .pth file; one in a folder that a .pth file names is not read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    # What pip sees through it is not its own: the checkout's installation must stay as it is.
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, "--no-index", "--no-deps", "--ignore-installed", str(wheel)], check=True, timeout=120)
    shutil.rmtree(source)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    return Charter(elsewhere, {}, environment / "bin" / "charter")


def test_an_installed_wheel_runs_from_any_folder(installed: Charter, client: TestClient) -> None:
    python = installed.command.with_name("python")
    program = "import api; print(api.__file__)"
    where = subprocess.run([python, "-c", program], check=True, cwd=installed.folder, capture_output=True, text=True)
    assert Path(where.stdout).is_relative_to(installed.command.parent.parent)

    assert json.loads(installed.run("openapi").stdout) == client.get("/openapi.json").json()
    migrated = installed.run("migrate")
    assert (migrated.returncode, migrated.stderr) == (0, "")
    with installed.serving() as server, httpx.Client(base_url=server.url) as visitor:
        assert visitor.get("/ready").json() == {"status": "ready"}
        assert newcomer(visitor, "alice").get("/protected").status_code == 200
        assert visitor.get("/docs").status_code == 200
        assert server.stop() == 0
