"""A real proxy in front of the service."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.paths import BIN


@contextmanager
def caddy(folder: Path, caddyfile: str) -> Iterator[None]:
    """Run Caddy with this configuration until the block ends. The log is in the folder."""
    file = folder / "Caddyfile"
    file.write_text(caddyfile)
    command: list[str | Path] = [BIN / "caddy", "run", "--adapter", "caddyfile", "--config", file]
    environment = {"HOME": str(folder), "PATH": os.defpath}
    with (folder / "proxy.log").open("w") as log, subprocess.Popen(command, env=environment, stderr=log) as proxy:
        try:
            yield
        finally:
            proxy.terminate()
