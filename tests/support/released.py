"""The code of the last release, from the history of the checkout."""

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.support.paths import CHECKOUT

_SUBJECT = r"^Release [0-9]+\.[0-9]+\.[0-9]+$"
_COMMAND = """#!{python}
import sys
sys.path.insert(0, {folder!r})
import api
assert api.__file__.startswith({folder!r}), api.__file__
from api.cli.main import main
if __name__ == "__main__":
    main()
"""


class HistoryMissing(Exception):
    """The checkout has no commit of a release: it is a shallow clone or was unpacked from an archive."""

    def __init__(self) -> None:
        super().__init__("the history has no release; use a full clone, or run: git fetch --unshallow")


def release() -> str:
    """Return the commit of the last release before this one. Raises HistoryMissing."""
    # The parent is searched, because the newest commit may be the release itself.
    found = _git("log", "-1", "--format=%H", "--extended-regexp", f"--grep={_SUBJECT}", "HEAD^").decode().strip()
    if not found:
        raise HistoryMissing()
    return found


def released_command(folder: Path) -> Path:
    """Return the `charter` command of the last release, which runs in this environment. Raises HistoryMissing."""
    code = folder / "release"
    with tarfile.open(fileobj=io.BytesIO(_git("archive", release()))) as archive:
        archive.extractall(code, filter="data")
    command = folder / "charter"
    command.write_text(_COMMAND.format(python=sys.executable, folder=str(code)))
    command.chmod(0o700)
    return command


def _git(*arguments: str) -> bytes:
    git = shutil.which("git")
    if git is None:
        raise HistoryMissing()
    # An unpacked archive must not find the history of a repository around it.
    command = [git, f"--git-dir={CHECKOUT / '.git'}", *arguments]
    result = subprocess.run(command, check=False, cwd=CHECKOUT, capture_output=True)
    if result.returncode:
        raise HistoryMissing()
    return result.stdout
