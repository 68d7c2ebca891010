"""The data folder: whether other users of the host can change the files in it."""

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


def _has(folder: Path, right: int) -> bool:
    return folder.is_dir() and bool(_mode(folder) & right)


def _mode(folder: Path) -> int:
    return S_IMODE(folder.stat().st_mode)
