"""What a client was about to write, on disk before it was sent, and what it was told of it."""

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
    """The operations that write without hashing a password, and the one that does."""

    REFRESH = "refreshTokens"
    LOG_OUT = "logOut"
    SIGN_UP = "signUp"


@dataclass(frozen=True)
class Write:
    """One write: of which session, or of which name; `done` is None when nobody told what came of it."""

    kind: Kind
    subject: str
    done: bool | None


class Journal:
    """A file with a line before each send and one after each answer; nothing that is said there is a secret."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stream = file.open("a", encoding="utf-8", buffering=1)
        self._turn = Lock()
        self._numbers = count()

    def intend(self, kind: Kind, subject: str) -> int:
        """Note what is to be sent next; its number is for `tell`."""
        with self._turn:
            number = next(self._numbers)
            self._say(number=number, kind=kind, subject=subject)
        return number

    def tell(self, number: int, done: bool) -> None:
        """Note that it was acknowledged, or refused."""
        with self._turn:
            self._say(number=number, done=done)

    def _say(self, **facts: Any) -> None:
        self._stream.write(f"{json.dumps(facts)}\n")

    def close(self) -> None:
        """Nothing more is written."""
        self._stream.close()

    def writes(self) -> Iterator[Write]:
        """All of it, in the order in which it was sent."""
        found: dict[int, dict[str, Any]] = {}
        for line in self._file.read_text(encoding="utf-8").splitlines():
            facts = json.loads(line)
            found.setdefault(facts.pop("number"), {"done": None}).update(facts)
        for facts in found.values():
            yield Write(Kind(facts["kind"]), facts["subject"], facts["done"])

    def counted(self) -> Counter[Kind]:
        """How many of each kind were acknowledged."""
        return Counter(write.kind for write in self.writes() if write.done)
