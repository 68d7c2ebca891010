"""The folders of the files: whether Charter can write to them, and other users of the host cannot."""

import os
from pathlib import Path
from stat import S_IMODE, S_IWGRP, S_IWOTH

_FILES = ("charter.db", "secret", "pepper")


def writable_by_all(folder: Path) -> str | None:
    """Return an error if every user of the host can replace the files in this folder."""
    if not _has(folder, S_IWOTH):
        return None
    remedy = f"run chmod 700 {folder}, or choose a new folder inside it"
    return f"must be a folder that other users cannot write to: {folder} has mode {_mode(folder):04o}; {remedy}"


def writable_by_group(folder: Path) -> str | None:
    """Return a warning if the group can replace the files in this folder. Kubernetes sets this mode (fsGroup)."""
    if not _has(folder, S_IWGRP) or not any((folder / name).exists() for name in _FILES):
        return None
    return f"the group of {folder} can replace the database and the secrets in it; chmod 700 prevents that"


def unusable_for_database(file: str) -> str | None:
    """Return an error if SQLite cannot create a file and its journal in this place."""
    if file.startswith("file:"):
        # A URI for SQLite, which may have options.
        return None
    folder = os.path.dirname(os.path.abspath(file))  # noqa: PTH100, PTH120 - Path.is_dir raises PermissionError
    if os.path.isdir(file):  # noqa: PTH112
        return f"must name a file: {file} is a folder; add the name of a file"
    if not os.path.isdir(folder):  # noqa: PTH112
        return f"must name a file in an existing folder: {folder} does not exist; create it, or correct the path"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"must name a file in a writable folder: {folder} is not; change its rights, or correct the path"
    return None


def _has(folder: Path, right: int) -> bool:
    return folder.is_dir() and bool(_mode(folder) & right)


def _mode(folder: Path) -> int:
    return S_IMODE(folder.stat().st_mode)
