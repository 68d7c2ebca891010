"""The databases that `make bench` fills, and the statements and plans that it compares."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from api import models
from api.app import create_app
from api.config import Config
from api.storage.database import Database
from benchmarks.speed.charter import INSTANT
from benchmarks.speed.filling import expired, fill, username
from benchmarks.speed.scale import OPERATIONS, Statements, is_same_access, section
from tests.support.person import PASSWORD, newcomer

USERS = 10
READ: Statements = [("SELECT 1", ["SEARCH a"])]
SCAN: Statements = [("SELECT 1", ["SCAN a"])]


@pytest.fixture
def filled(config: Config) -> Config:
    """The settings of a database with one user who signed up, and others that were filled in."""
    # As in a benchmark, no process has the database open meanwhile.
    with TestClient(create_app(config), base_url="http://127.0.0.1:8000") as client:
        newcomer(client, "pattern")
    fill(config, USERS)
    return config


@pytest.mark.usefixtures("filled")
def test_fill_adds_users_who_can_log_in(client: TestClient) -> None:
    response = client.post("/api/v1/auth/login", json={"username": username(USERS - 1), "password": PASSWORD})
    assert response.status_code == 200
    token = response.json()["access_token"]
    sessions = client.get("/api/v1/sessions", headers={"Authorization": f"Bearer {token}"}).json()["items"]
    # The oldest of the three that were filled in has expired.
    assert len(sessions) == 3


def test_fill_adds_a_token_to_each_session(filled: Config, database: Database) -> None:
    with database.transaction() as db:
        found = db.run(
            select(models.users.c.id, models.sessions.c.id, models.sessions.c.refresh_token)
            .select_from(models.users)
            .join(models.sessions)
        ).all()
    # The user who was there first has one session.
    users, sessions, digests = (set(column) for column in zip(*found, strict=True))
    assert (len(users), len(sessions), len(digests)) == (USERS + 1, 3 * USERS + 1, 3 * USERS + 1)
    assert {each.version for each in users | sessions} == {7}
    assert expired(filled) == USERS


@pytest.mark.slow
def test_statements_are_written_with_their_plans(tmp_path: Path) -> None:
    path = tmp_path / "statements"
    program = """
from sqlalchemy import create_engine, text
with create_engine("sqlite://").begin() as connection:
    connection.execute(text("CREATE TABLE a (b INTEGER PRIMARY KEY)"))
    connection.execute(text("SELECT * FROM a WHERE b = :b"), {"b": 1})
"""
    environment = os.environ | {"PYTHONPATH": str(INSTANT), "STATEMENTS": str(path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        ["CREATE TABLE a (b INTEGER PRIMARY KEY)", []],
        ["SELECT * FROM a WHERE b = ?", ["SEARCH a USING INTEGER PRIMARY KEY (rowid=?)"]],
    ]


@pytest.mark.parametrize(("big", "differing"), [(READ, 0), (SCAN, 1), (READ + READ, 1)])
def test_an_operation_with_another_plan_or_statement_is_counted(big: Statements, differing: int) -> None:
    same = dict.fromkeys(OPERATIONS, READ)
    seconds = {name: {10: [0.001, 0.003, 0.002], 1000: [0.002, 0.003, 0.004]} for name in OPERATIONS}
    found = section("SQLite", seconds, {10: same, 1000: same | {"Refresh": big}})
    assert found.figures == {"scale/SQLite": 1.5, "scale/SQLite/plans": differing}
    assert ("differ" in "".join(found.table)) == bool(differing)


BITMAP = [
    "Limit",
    "  ->  Sort",
    "        Sort Key: id DESC",
    "        ->  Bitmap Heap Scan on sessions",
    "              Recheck Cond: (user_id = ?)",
    "              Filter: (expires_at > ?)",
    "              ->  Bitmap Index Scan on ix_sessions_user_id_id",
    "                    Index Cond: (user_id = ?)",
]
PLAIN = [
    "Limit",
    "  ->  Index Scan Backward using ix_sessions_user_id_id on sessions",
    "        Index Cond: (user_id = ?)",
    "        Filter: (expires_at > ?)",
]
OTHER_INDEX = [line.replace("ix_sessions_user_id_id", "pk_sessions") for line in PLAIN]
NO_INDEX = ["Limit", "  ->  Seq Scan on sessions", "        Filter: ((expires_at > ?) AND (user_id = ?))"]


@pytest.mark.parametrize(("big", "same"), [(PLAIN, True), (OTHER_INDEX, False), (NO_INDEX, False)])
def test_a_bitmap_of_an_index_counts_as_its_scan(big: list[str], same: bool) -> None:
    assert is_same_access([("SELECT 1", BITMAP)], [("SELECT 1", big)]) == same
