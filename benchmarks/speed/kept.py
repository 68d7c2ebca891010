"""The sections of a measurement, kept in a file, so that a run that was interrupted can be resumed."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.speed.measure import Length
from benchmarks.speed.results import Section
from tests.support.paths import CHECKOUT


@dataclass(frozen=True)
class Subject:
    """The circumstances of a measurement: its subject and its length. Sections of another subject are not reused."""

    commit: str
    base: str
    rounds: int
    seconds: int


@dataclass(frozen=True)
class Kept:
    """The sections of one subject in a folder, a file for each measurement."""

    folder: Path
    subject: Subject

    def read(self, name: str) -> list[Section] | None:
        """Return the sections of a measurement, or None if it was not completed."""
        path = self._path(name)
        kept = json.loads(path.read_text()) if path.exists() else {}
        if kept.get("subject") != asdict(self.subject):
            return None
        return [Section(**section) for section in kept["sections"]]

    def write(self, name: str, sections: Iterator[Section]) -> Iterator[Section]:
        """Yield the sections of a measurement, and keep them once it is complete."""
        done = []
        for section in sections:
            done.append(section)
            yield section
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = {"subject": asdict(self.subject), "sections": [section._asdict() for section in done]}
        self._path(name).write_text(json.dumps(kept))

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def subject(base: Path | None, length: Length) -> Subject:
    """Return what this checkout measures."""
    command = ("git", "describe", "--always", "--abbrev=40", "--dirty")
    done = subprocess.run(command, check=False, cwd=CHECKOUT, capture_output=True, text=True)
    return Subject(done.stdout.strip(), str(base or ""), *length)
