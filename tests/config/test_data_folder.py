"""The data folder: its rights, and secrets that are not regular files."""

import os
from pathlib import Path
from threading import Thread

import pytest

from api.config import find_warnings, load
from api.config.data_folder import unusable_for_database
from tests.config.test_settings import SECRET, SHARED, refusal


@pytest.mark.parametrize("mode", [0o777, 0o707, 0o702, 0o1777])
def test_a_data_folder_that_all_users_can_write_to_is_rejected(tmp_path: Path, mode: int) -> None:
    environ = {"CHARTER_DATA_DIR": str(tmp_path)}
    load(environ)
    tmp_path.chmod(mode)
    remedy = f"run chmod 700 {tmp_path}, or choose a new folder inside it"
    told = f"must be a folder that other users cannot write to: {tmp_path} has mode {mode:04o}; {remedy}"
    assert refusal(environ) == f"CHARTER_DATA_DIR {told}"
    # A folder that is not in use does not matter.
    assert load(environ | SHARED)


@pytest.mark.parametrize("mode", [0o770, 0o2775, 0o720])
def test_a_data_folder_that_its_group_can_write_to_is_a_warning(tmp_path: Path, mode: int) -> None:
    environ = {"CHARTER_DATA_DIR": str(tmp_path)}
    tmp_path.chmod(mode)
    assert find_warnings(environ) == []
    load(environ)
    told = f"the group of {tmp_path} can replace the database and the secrets in it; chmod 700 prevents that"
    assert find_warnings(environ) == [told]


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755, 0o2755])
def test_a_data_folder_that_others_can_only_read_is_accepted(tmp_path: Path, mode: int) -> None:
    environ = {"CHARTER_DATA_DIR": str(tmp_path)}
    tmp_path.chmod(mode)
    load(environ)
    assert find_warnings(environ) == []


@pytest.mark.parametrize("name", ["secret", "pepper"])
def test_a_secret_must_be_a_regular_file(tmp_path: Path, name: str) -> None:
    environ = {"CHARTER_DATA_DIR": str(tmp_path)}
    (tmp_path / name).mkdir()
    assert refusal(environ) == f"{tmp_path}/{name} must be a regular file"
    (tmp_path / name).rmdir()
    (tmp_path / name).symlink_to("/nowhere/at/all")
    assert refusal(environ) == f"{tmp_path}/{name} must be a regular file"


@pytest.mark.parametrize("name", ["secret", "pepper"])
def test_a_named_pipe_as_secret_is_not_read(tmp_path: Path, name: str) -> None:
    pipe = tmp_path / name
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_text, args=("changeme",))
    writer.start()
    assert refusal({"CHARTER_DATA_DIR": str(tmp_path)}) == f"{pipe} must be a regular file"
    # The writer waits for a reader.
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer.join()
    os.close(reader)


def test_a_secret_may_be_a_link_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "mounted").write_text(SECRET.hex())
    (tmp_path / "secret").symlink_to(tmp_path / "mounted")
    assert load({"CHARTER_DATA_DIR": str(tmp_path)}).secret == SECRET


def test_a_database_needs_an_existing_folder(tmp_path: Path) -> None:
    remedy = f"{tmp_path}/none does not exist; create it, or correct the path"
    assert unusable_for_database(f"{tmp_path}/none/x.db") == f"must name a file in an existing folder: {remedy}"
    assert unusable_for_database(str(tmp_path)) == f"must name a file: {tmp_path} is a folder; add the name of a file"
    assert unusable_for_database(f"{tmp_path}/x.db") is None
    assert unusable_for_database(f"file:{tmp_path}/none/x.db") is None


def test_a_database_needs_a_folder_with_the_right_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The root user may write to any folder.
    monkeypatch.setattr(os, "access", lambda _path, rights: not rights & os.W_OK)
    remedy = f"{tmp_path} is not; change its rights, or correct the path"
    assert unusable_for_database(f"{tmp_path}/x.db") == f"must name a file in a writable folder: {remedy}"


def test_a_relative_path_in_a_new_data_folder_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    load({"DATABASE_URL": "sqlite:///data/x.db"})
    assert (tmp_path / "data").is_dir()
