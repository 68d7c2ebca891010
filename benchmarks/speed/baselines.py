"""The services that Charter is compared with, each in an environment of its own."""

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.speed.charter import INSTANT, Place
from benchmarks.speed.load import CONNECTIONS
from benchmarks.speed.service import Service, free_port, started
from tests.support.paths import BIN

_HERE = Path(__file__).parent / "baselines"
_UVICORN = ("--loop=uvloop", "--http=httptools", "--no-access-log")
Baseline = Callable[[Place, Path], AbstractContextManager[Service]]


def template(place: Place, folder: Path, database: str, workers: int = 1) -> AbstractContextManager[Service]:
    """Return FastAPI with its own user, which it reads from this database for each request."""
    settings = {"PUBLIC_KEY": place.public_key, "DATABASE": database, "USER": json.dumps(place.user)}
    # Several workers need more than the default of 5 seconds to start on one core.
    settings |= {"WEB_CONCURRENCY": str(workers), "UVICORN_TIMEOUT_WORKER_HEALTHCHECK": "60"}
    return _under_uvicorn("template", "service", folder, **settings)


def accounts(folder: Path, database: str) -> AbstractContextManager[Service]:
    """Return FastAPI with SQLModel, which has accounts and sessions in this database. A hash costs nothing."""
    path = os.pathsep.join(map(str, (_HERE / "accounts", INSTANT)))
    return _under_uvicorn("accounts", "service", folder, DATABASE=database, PYTHONPATH=path)


def _fastapi(module: str) -> Baseline:
    return lambda place, folder: _under_uvicorn("fastapi", module, folder, PUBLIC_KEY=place.public_key)


# The baselines without a database.
BASELINES: dict[str, Baseline] = {
    "FastAPI async def": _fastapi("asynchronous"),
    "FastAPI def": _fastapi("threaded"),
    "Litestar": lambda place, folder: _under_uvicorn("litestar", "service", folder, PUBLIC_KEY=place.public_key),
    "Connexion": lambda place, folder: _under_uvicorn("connexion", "service", folder, PUBLIC_KEY=place.public_key),
    "Flask": lambda place, folder: _under_gunicorn("flask", folder, PUBLIC_KEY=place.public_key),
}


def _under_uvicorn(name: str, module: str, folder: Path, **settings: str) -> AbstractContextManager[Service]:
    """Run the baseline with this name as its documentation recommends for production, without access logs."""
    port = free_port()
    return _started(name, ["uvicorn", f"{module}:app", f"--port={port}", *_UVICORN], folder, settings, port)


def _under_gunicorn(name: str, folder: Path, **settings: str) -> AbstractContextManager[Service]:
    """Run the baseline with this name in one process, with a thread for each connection, which it keeps open."""
    port = free_port()
    options = ("--worker-class=gthread", f"--threads={CONNECTIONS}", f"--bind=127.0.0.1:{port}")
    return _started(name, ["gunicorn", *options, "service:app"], folder, settings, port)


def _started(
    name: str, command: list[str], folder: Path, settings: dict[str, str], port: int
) -> AbstractContextManager[Service]:
    program, *arguments = command
    path = os.pathsep.join(str(_HERE / part) for part in (name, "common"))
    environment = {"PATH": os.defpath, "PYTHONPATH": path} | settings
    return started([str(BIN / f"../bench/{name}/bin/{program}"), *arguments], folder, environment, port)
