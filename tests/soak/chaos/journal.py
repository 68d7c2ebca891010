"""A journal of writes: each one is on disk before the client sends it, and so is its result afterwards."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any


class Kind(StrEnum):
    """The operations that write without hashing a password, and the one that hashes."""

    REFRESH = "refreshTokens"
    LOG_OUT = "logOut"
    SIGN_UP = "signUp"


@dataclass(frozen=True)
class Write:
    """One write, with its session or its username. Without a known result, `done` is empty."""

    kind: Kind
    subject: str
    done: bool | None


class Journal:
    """A file with a line before each request and one after each response. It contains no secrets."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stream = file.open("a", encoding="utf-8", buffering=1)
        self._turn = Lock()
        self._numbers = count()

    def intend(self, kind: Kind, subject: str) -> int:
        """Record the next request, and return its number for `settle`."""
        with self._turn:
            number = next(self._numbers)
            self._write_line(number=number, kind=kind, subject=subject)
        return number

    def settle(self, number: int, done: bool) -> None:
        """Record that the write was acknowledged or rejected."""
        with self._turn:
            self._write_line(number=number, done=done)

    def _write_line(self, **facts: Any) -> None:
        self._stream.write(f"{json.dumps(facts)}\n")

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def writes(self) -> Iterator[Write]:
        """Yield all writes, in the order in which they were sent."""
        found: dict[int, dict[str, Any]] = {}
        for line in self._file.read_text(encoding="utf-8").splitlines():
            facts = json.loads(line)
            found.setdefault(facts.pop("number"), {"done": None}).update(facts)
        for facts in found.values():
            yield Write(Kind(facts["kind"]), facts["subject"], facts["done"])

    def counted(self) -> Counter[Kind]:
        """Return the number of acknowledged writes of each kind."""
        return Counter(write.kind for write in self.writes() if write.done)
