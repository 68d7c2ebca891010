"""Read the Dockerfile, and carry out its instructions without a container engine."""

import os
import re
import shlex
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.paths import BIN, CHECKOUT
from tests.support.patience import PATIENCE_SECONDS


class Instruction(NamedTuple):
    """An instruction of the Dockerfile, with its continuation lines."""

    stage: int
    name: str
    text: str


def instructions() -> Iterator[Instruction]:
    stage = 0
    text = re.sub(r"^#.*\n", "", (CHECKOUT / "Dockerfile").read_text(), flags=re.MULTILINE)
    for line in text.replace("\\\n", "").splitlines():
        name, _, rest = line.partition(" ")
        stage += name == "FROM"
        if name:
            yield Instruction(stage, name, rest.strip())


def argument_of(name: str) -> str:
    """Return the argument of the image's last instruction with this name."""
    return [instruction.text for instruction in instructions() if instruction.name == name][-1]


def image_environment() -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(argument_of("ENV")))


class Image:
    """The result of the Dockerfile, in a folder instead of a container, with the Python of these tests."""

    def __init__(self, root: Path) -> None:
        self.root, self.context, self.workplace = root, root / "context", root / "build"
        self.environment = {"PATH": f"{BIN}{os.pathsep}{os.defpath}", "PIP_NO_INDEX": "1"}
        for place in (self.context, self.workplace, root / "opt", root / "var/lib"):
            place.mkdir(parents=True)

    def within(self, text: str) -> str:
        """Return the text with its paths moved into this folder, and without a change of user."""
        text = text.replace("-o 10001 -g 10001", "")
        return re.sub(r"/(opt|var/lib)/charter", rf"{self.root}/\1/charter", text)

    def build(self) -> None:
        self._send()
        for _, name, text in instructions():
            if name == "RUN":
                command = ["/bin/sh", "-ec", self.within(text)]
                subprocess.run(command, check=True, cwd=self.workplace, env=self.environment, timeout=PATIENCE_SECONDS)
                self._lend()
            elif name == "COPY" and "--from" not in text:
                self._copy(*text.split())

    def _send(self) -> None:
        """Copy the files of the checkout that an engine would get as build context."""
        first, *rest = [line for line in (CHECKOUT / ".dockerignore").read_text().split("\n") if line[:1] not in "#"]
        assert first == "*"
        kept = {line[1:] for line in rest if line.startswith("!")}
        left = [line.removeprefix("**/") for line in rest if line.startswith("**/")]
        for path in CHECKOUT.iterdir():
            if path.name in kept and path.is_dir():
                shutil.copytree(path, self.context / path.name, ignore=shutil.ignore_patterns(*left))
            elif path.name in kept:
                shutil.copy(path, self.context)
        assert {path.name for path in self.context.iterdir()} == kept

    def _copy(self, *words: str) -> None:
        *sources, target = words
        for source in sources:
            if (self.context / source).is_dir():
                shutil.copytree(self.context / source, self.workplace / target)
            else:
                shutil.copy(self.context / source, self.workplace / target)

    def _lend(self) -> None:
        """Link the packages of this environment into the new one: pip finds them there and downloads nothing."""
        base = {"base": str(self.root / "opt/charter"), "platbase": str(self.root / "opt/charter")}
        site = Path(sysconfig.get_path("purelib", "venv", base))
        for package in Path(sysconfig.get_path("purelib")).iterdir():
            if not package.name.startswith(("__editable__", "charter-", "pip")):
                # Older Pythons install a setuptools of their own.
                if (site / package.name).is_dir() and not (site / package.name).is_symlink():
                    shutil.rmtree(site / package.name)
                (site / package.name).unlink(missing_ok=True)
                (site / package.name).symlink_to(package)
