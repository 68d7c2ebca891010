"""Connexion, without what a server never uses of it."""

import sys
from types import ModuleType

# It imports its test client, and two ways to other hosts: 0.15 s of CPU and 10 MB.
_UNUSED = ("httpx", "requests", "starlette.testclient")


def import_connexion() -> None:
    """Import Connexion, but what it has no use for here by name alone; who imports that later gets it whole."""
    names = [name for name in _UNUSED if name not in sys.modules]
    empty = ModuleType("empty")
    empty.__dict__["TestClient"] = None
    sys.modules.update(dict.fromkeys(names, empty))
    try:
        import connexion  # noqa: F401, PLC0415 - not before
    finally:
        for name in names:
            del sys.modules[name]
