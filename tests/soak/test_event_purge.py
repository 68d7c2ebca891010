"""The service is killed while it deletes old events: each step is whole, and the next start goes on."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert

from api import clock, models
from api.config import Config
from api.storage.database import Database, first_id, new_id
from tests.support.charter import Charter, beside, until
from tests.support.rows import count

pytestmark = pytest.mark.usefixtures("forked")

# A step deletes at most 100 events.
OLD, STEP, KILLS = 3_000, 100, 3


def fill(database: Database) -> None:
    """Add events that are older than a year, and their origins."""
    then, user = clock.now() - timedelta(days=400), new_id()
    ids = [UUID(int=first_id(then).int + number) for number in range(OLD)]
    event = {
        "at": then,
        "event": "log_in_failed",
        "user_id": user,
        "actor": "anonymous",
        "request_id": new_id(),
        "facts": {},
    }
    with database.transaction() as db:
        db.run(insert(models.events), [event | {"id": each} for each in ids])
        db.run(
            insert(models.event_origins),
            [{"event_id": each, "user_id": user, "ip_address": "192.0.2.1", "user_agent": "curl"} for each in ids],
        )


def left(database: Database) -> list[int]:
    """Return how many events and origins there are."""
    return [count(database, models.events), count(database, models.event_origins)]


def purge_some(charter: Charter, database: Database) -> None:
    """Run the service until it has deleted events, and kill it."""
    before = left(database)[0]
    with charter.serving() as server:
        until(lambda: left(database)[0] < before)
        server.process.kill()
        server.process.wait()


def test_a_killed_service_goes_on_with_the_purge(config: Config, database: Database) -> None:
    fill(database)
    charter = beside(config)
    for _ in range(KILLS):
        purge_some(charter, database)
        events, origins = left(database)
        assert (events % STEP, origins) == (0, events)
    assert left(database) != [0, 0]
    with charter.serving():
        until(lambda: left(database) == [0, 0])
