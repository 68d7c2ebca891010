"""Record the calls of bcrypt, and run code while bcrypt works."""

from collections.abc import Callable

import bcrypt
import pytest


class Bcrypt:
    """A replacement for bcrypt that does the work, records each call, and can run code during it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hashed: list[str] = []
        self.checked: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self._hashpw, self._checkpw = bcrypt.hashpw, bcrypt.checkpw
        monkeypatch.setattr(bcrypt, "hashpw", self.hashpw)
        monkeypatch.setattr(bcrypt, "checkpw", self.checkpw)

    def hashpw(self, password: bytes, salt: bytes) -> bytes:
        self.hashed.append(salt[:7].decode())
        self.meanwhile()
        return self._hashpw(password, salt)

    def checkpw(self, password: bytes, hashed: bytes) -> bool:
        self.checked.append(hashed[:7].decode())
        self.meanwhile()
        return self._checkpw(password, hashed)
