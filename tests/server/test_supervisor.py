"""The start of several workers on one socket. Other tests of the supervisor are in tests/soak."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support.charter import PEPPER, SECRET, Charter
from tests.support.paths import CHECKOUT


@pytest.fixture
def charter(tmp_path: Path, migrated_file: Path) -> Charter:
    """An installation with a migrated database."""
    shutil.copy(migrated_file, tmp_path / "charter.db")
    secrets = {"CHARTER_SECRET": SECRET, "CHARTER_PEPPER": PEPPER}
    return Charter(tmp_path, {"DATABASE_URL": f"sqlite:///{tmp_path}/charter.db"} | secrets)


def test_a_worker_that_cannot_start_stops_the_service(charter: Charter) -> None:
    for name in ("api", "migrations", "openapi"):
        shutil.copytree(CHECKOUT / name, charter.folder / name)
    (charter.folder / "api/handlers/profile.py").write_text("")
    charter.settings |= {"PYTHONPATH": str(charter.folder), "CHARTER_WORKERS": "2"}
    result = charter.run("serve")
    *log, last = result.stderr.splitlines()
    assert (result.returncode, last) == (1, "Error: a worker cannot start; see the log for the reason")
    assert any("api/handlers/profile.py has no function get_profile" in line for line in log)


def test_workers_share_the_cores_for_hashing(charter: Charter) -> None:
    cores = len(os.sched_getaffinity(0))
    for count, hashes in (("1", cores), ("2", max(1, cores // 2)), ("256", 1)):
        charter.settings["CHARTER_WORKERS"] = count
        assert f"CHARTER_HASHES={hashes}\n" in charter.run("check-config").stdout
