"""An import of Connexion without the modules that a server never uses."""

import sys
from types import ModuleType

# Connexion imports its test client and two HTTP clients, which cost 0.15 s of CPU time and 10 MB.
_UNUSED = ("httpx", "requests", "starlette.testclient")


def import_connexion() -> None:
    """Import Connexion with stubs for the heavy modules it does not need here. Later imports get the real modules."""
    names = [name for name in _UNUSED if name not in sys.modules]
    empty = ModuleType("empty")
    empty.__dict__["TestClient"] = None
    sys.modules.update(dict.fromkeys(names, empty))
    try:
        import connexion  # noqa: F401, PLC0415 - the stubs come first
    finally:
        for name in names:
            del sys.modules[name]
