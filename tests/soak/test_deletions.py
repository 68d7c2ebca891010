"""The service is killed while it deletes users: each one is gone with all rows, or still has all of them."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import JSON, Integer, LargeBinary, String, Table, Uuid, insert, select
from sqlalchemy.types import TypeEngine

from api import clock, models
from api.config import Config
from api.storage.database import Database, UtcDateTime, new_id
from tests.support.charter import Charter, beside, until
from tests.support.user_rows import USER_COLUMNS

pytestmark = pytest.mark.usefixtures("forked")

USERS, KILLS = 60, 3


def fill(database: Database) -> dict[UUID, str]:
    """Create users who are due, each with a row in every table. Return the address of each."""
    ids = {new_id(): f"user{number}" for number in range(USERS)}
    with database.transaction() as db:
        for table, _ in USER_COLUMNS:
            db.run(insert(table), [row(table, of, name) for of, name in ids.items()])
    return {of: f"{name}@a.com" for of, name in ids.items()}


def row(table: Table, of: UUID, name: str) -> dict[str, Any]:
    """Return a row that refers to a user."""
    made: dict[type[TypeEngine[Any]], Callable[[], Any]] = {
        Uuid: new_id,
        UtcDateTime: lambda: clock.now() + timedelta(days=1),
        LargeBinary: name.encode,
        Integer: lambda: 0,
        JSON: list,
        String: lambda: name,
    }
    # A mail of the user must not leave, and its address must have the length of one.
    own: dict[str, Any] = {
        "user_id": of,
        "actor": "user",
        "address": f"{name}@a.com",
        "state": "waiting",
        "locale": "en",
        "template": "test",
    }
    if table.name == "users":
        own = {"id": of, "email": f"{name}@a.com", "deletes_at": clock.now(), "disabled_at": clock.now()}
    if table.name == "retired_names":
        own["key"] = f"former-{name}"
    others = {
        column.name: next(make for kind, make in made.items() if isinstance(column.type, kind))()
        for column in table.c
        if not column.nullable
    }
    return others | {column: value for column, value in own.items() if column in table.c}


def left(database: Database) -> int:
    with database.transaction() as db:
        return len(db.run(select(models.users.c.id)).all())


def check_whole(database: Database, addresses: dict[UUID, str]) -> None:
    """Assert that each user has all rows, or none but a reserved name and one mail."""
    with database.transaction() as db:
        there = set(db.run(select(models.users.c.id)).scalars())
        for table, column in USER_COLUMNS:
            # The audit log outlives its users.
            if table.name != "events":
                assert {of for of in db.run(select(column)).scalars() if of} == there, column
        farewells = Counter(
            db.run(select(models.outbox.c.address).where(models.outbox.c.template == "account_deleted")).scalars()
        )
        names = set(db.run(select(models.retired_names.c.key)).scalars())
    assert farewells == {address: 1 for of, address in addresses.items() if of not in there}
    assert names >= {str(address).partition("@")[0] for address in farewells}


def delete_some(charter: Charter, database: Database) -> None:
    """Run the service until it has deleted users, and kill it."""
    before = left(database)
    with charter.serving() as server:
        until(lambda: left(database) < before)
        server.process.kill()
        server.process.wait()


def test_a_killed_service_deletes_users_whole(config: Config, database: Database) -> None:
    addresses = fill(database)
    charter = beside(config, smtp_port=1)
    for _ in range(KILLS):
        delete_some(charter, database)
        check_whole(database, addresses)
    assert left(database) > 0
    with charter.serving():
        until(lambda: left(database) == 0)
    check_whole(database, addresses)
