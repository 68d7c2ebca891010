"""The wheel contains all that the service needs without a checkout."""

import json
import os
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import httpx
import pytest

from api import contract
from api.config.paths import resource_dir
from tests.support.charter import Charter
from tests.support.paths import BIN, CHECKOUT
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import newcomer
from tests.support.readme import block


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder outside any checkout, with the files that docs/cli.md lists: the wheel and `requirements.lock`."""
    source = tmp_path / "source"
    left = (".*", "data", "build", "dist", "node_modules", "__pycache__", "*.egg-info", "tests")
    shutil.copytree(CHECKOUT, source, ignore=shutil.ignore_patterns(*left))
    # Leftovers of an earlier build.
    for stale in ("build/lib/api/stale.py", "dist/charter-0.0.1-py3-none-any.whl"):
        (source / stale).parent.mkdir(parents=True)
        (source / stale).touch()
    # The environment of these tests is installed. `-o` keeps make from installing this copy in it.
    make = ["make", "-o", ".venv/.run", "wheel", f"BIN={BIN}"]
    subprocess.run(make, check=True, cwd=source, capture_output=True, timeout=PATIENCE_SECONDS)
    (wheel,) = (source / "dist").iterdir()
    with ZipFile(wheel) as packed:
        assert "api/cli/main.py" in packed.namelist()
        assert "api/stale.py" not in packed.namelist()
        assert "api/openapi/auth.yaml" in packed.namelist()
        assert {"api/mail/layout.html", "api/mail/de/reset_password.txt"} <= {*packed.namelist()}
        assert "api/openapi/released.json" not in packed.namelist()
        (metadata,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
        assert "\nLicense-Expression: MIT\n" in packed.read(metadata).decode()
        assert any(name.endswith("/licenses/LICENSE") for name in packed.namelist())

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in (wheel, source / "requirements.lock"):
        shutil.move(file, elsewhere)
    shutil.rmtree(source)
    return elsewhere


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A Python environment with the dependencies of this one, but without Charter."""
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(environment)}))
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if not package.name.startswith(("charter-", "__editable__")):
            (site / package.name).symlink_to(package)
    (environment / "bin/pip").symlink_to(BIN / "pip")
    return environment


@pytest.mark.slow
def test_the_wheel_installs_and_serves_as_documented(elsewhere: Path, environment: Path, tmp_path: Path) -> None:
    install, _, last = block("pip install").text.rpartition(" && ")
    assert last == "charter serve\n"
    data = tmp_path / "library"
    commands = ["/bin/sh", "-ec", install.replace("/var/lib/charter", str(data))]
    # The packages of the lock are installed, so nothing is downloaded.
    pip = {"PIP_NO_INDEX": "1", "PIP_PYTHON": str(environment / "bin/python")}
    path = {"PATH": f"{environment / 'bin'}{os.pathsep}{os.defpath}"}
    subprocess.run(commands, check=True, cwd=elsewhere, env=path | pip, timeout=PATIENCE_SECONDS)

    charter = Charter(elsewhere, {"CHARTER_DATA_DIR": str(data)}, environment / "bin/charter")
    program = "import api; print(api.__file__)"
    where = subprocess.check_output([environment / "bin/python", "-c", program], cwd=elsewhere, text=True)
    assert Path(where).is_relative_to(environment)
    assert json.loads(charter.run("openapi").stdout) == contract.published(contract.load(resource_dir("openapi")))
    preview = charter.run("mail", "preview", "reset_password", "--html", "--locale", "de")
    assert (preview.returncode, preview.stdout.count("K7QF-3M9T-XD4B")) == (0, 1)
    with charter.serving() as server, httpx.Client(base_url=server.url) as visitor:
        assert visitor.get("/ready").json() == {"status": "ready"}
        assert newcomer(visitor, "alice").get("/protected").status_code == 200
        assert visitor.get("/docs").status_code == 200
        assert visitor.get("/reset-password").status_code == 200
        assert server.stop() == 0
    assert not charter.data.exists()
