"""The code of the last release, to run it beside the code of the checkout."""

import sys
import tarfile
from pathlib import Path

from tests.support.paths import CHECKOUT

_ARCHIVE = CHECKOUT / "tests" / "soak" / "last_release.tar.xz"
_COMMAND = """#!{python}
import sys
sys.path.insert(0, {folder!r})
import api
assert api.__file__.startswith({folder!r}), api.__file__
from api.cli.main import main
if __name__ == "__main__":
    main()
"""


def released_command(folder: Path) -> Path:
    """Return the `charter` command of the last release, which runs in this environment."""
    code = folder / "release"
    with tarfile.open(_ARCHIVE) as archive:
        archive.extractall(code, filter="data")
    command = folder / "charter"
    command.write_text(_COMMAND.format(python=sys.executable, folder=str(code)))
    command.chmod(0o700)
    return command
