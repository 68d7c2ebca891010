"""The export of a user's data: everything of the user, and nothing secret."""

import re
from base64 import b64encode
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Column, MetaData, Table, insert, select
from sqlalchemy.dialects import postgresql
from starlette.testclient import TestClient

from api import clock, models
from api.config import Config
from api.services import data_export
from api.storage.database import EXPORTED, Database, UtcDateTime
from tests.features.test_deletion import fill
from tests.support import own
from tests.support.databases import on_sqlite
from tests.support.mailbox import Mailbox
from tests.support.person import Person
from tests.support.types import Events
from tests.support.user_rows import USER_COLUMNS


def export(person: Person) -> dict[str, Any]:
    response = person.get("/api/v1/me/export")
    assert response.status_code == 200, response.text
    assert response.headers["content-disposition"] == 'attachment; filename="charter-export.json"'
    return dict(response.json())


def test_an_export_has_the_rows_of_the_caller_only(
    config: Config,
    database: Database,
    client: TestClient,
    alice: Person,
    bobby: Person,
    mailbox: Mailbox,
    events: Events,
) -> None:
    for person in (alice, bobby):
        fill(config, database, person)
    phone = alice
    found = export(phone)
    assert found["profile"] == phone.get("/api/v1/me").json()
    tables = {name: rows for name, rows in found["tables"].items() if name not in own.TABLES}
    assert {name: (len(rows["items"]), rows["complete"]) for name, rows in tables.items()} == {
        "event_origins": (5, True),
        "events": (5, True),
        "outbox": (3, True),
        "api_keys": (1, True),
        "retired_names": (1, True),
        "sessions": (2, True),
    }
    listed = phone.get("/api/v1/sessions").json()["items"]
    assert tables["sessions"]["items"] == [{key: row[key] for key in row if key != "current"} for row in listed]
    assert tables["api_keys"]["items"] == phone.get("/api/v1/keys").json()["items"]
    mail, _, first = tables["outbox"]["items"]
    assert first["template"] == "verify_email"
    assert mail == {
        "template": "password_changed",
        "state": "waiting",
        "created_at": mail["created_at"],
        "sent_at": None,
    }
    assert [row["key"] for row in tables["retired_names"]["items"]] == ["alice"]
    assert "bobby" not in str(found)
    assert events()[-1] == ("data_exported", {"user_id": alice.id})
    mailbox.deliver()
    assert export(phone)["tables"]["outbox"]["items"][0]["state"] == "sent"


@on_sqlite
def test_an_export_has_no_secret_and_no_digest(config: Config, database: Database, alice: Person) -> None:
    fill(config, database, alice)
    text = str(export(alice))
    with database.transaction() as db:
        rows = [row for table, column in USER_COLUMNS for row in db.run(select(table).where(column == UUID(alice.id)))]
    secrets = [value for row in rows for value in row if isinstance(value, bytes) and any(value)]
    assert len(secrets) > 4
    for secret in secrets:
        assert secret.hex() not in text
        assert b64encode(secret).decode() not in text
    assert not re.search(r"\$2[aby]\$|bcrypt|refresh|digest|hash|family", text)
    for token in (alice.token, alice.refresh_token, alice.device_token):
        assert token not in text


@on_sqlite
def test_a_long_table_is_cut_at_the_newest_rows(
    database: Database, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_export, "_MOST_ROWS", 2)
    names = [{"key": f"name{number}", "user_id": UUID(alice.id), "until": clock.now()} for number in range(3)]
    with database.transaction() as db:
        db.run(insert(models.retired_names), names)
    rows = export(alice)["tables"]["retired_names"]
    assert ([row["key"] for row in rows["items"]], rows["complete"]) == (["name2", "name1"], False)


def test_each_exported_table_has_a_user_id() -> None:
    tables = data_export.exported_tables()
    assert models.retired_names in tables
    for table in tables:
        assert "user_id" in table.c


class Colour(StrEnum):
    RED = "red"


# The name, the type and the value of a column, and its form in the export.
COLUMNS: list[tuple[str, sa.types.TypeEngine[Any], Any, Any]] = [
    ("icon", sa.LargeBinary(), b"\x89PNG\xff", "iVBOR/8="),
    ("day", sa.Date(), date(2026, 1, 31), "2026-01-31"),
    ("start", sa.Time(), time(12, 30), "12:30:00"),
    ("moment", UtcDateTime(), datetime(2026, 1, 31, tzinfo=UTC), "2026-01-31T00:00:00.000Z"),
    ("price", sa.Numeric(8, 2), Decimal("19.99"), 19.99),
    ("duration", sa.Interval(), timedelta(days=1, seconds=5), "P1DT5S"),
    ("settings", sa.JSON(), {"a": [1, None]}, {"a": [1, None]}),
    ("colour", sa.Enum(Colour, native_enum=False), Colour.RED, "red"),
    ("word", sa.Enum("a", "b", native_enum=False), "b", "b"),
    ("other", sa.Uuid(), UUID(int=1), str(UUID(int=1))),
    ("flag", sa.Boolean(), True, True),
    ("ratio", sa.Float(), 0.5, 0.5),
    ("most", sa.Float(), float("inf"), "Infinity"),
    ("least", sa.Float(), float("-inf"), "-Infinity"),
    ("big", sa.BigInteger(), 2**62, 2**62),
    ("absent", sa.LargeBinary(), None, None),
]


def export_of(columns: list[sa.Label[Any]], person: Person, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Export a row of constants in place of those of all tables, and return the row."""
    is_own = sa.literal(UUID(person.id)) == sa.bindparam("of_user")
    monkeypatch.setattr(data_export, "_QUERIES", {"drawings": select(*columns).where(is_own)})
    rows = export(person)["tables"]["drawings"]
    (row,) = rows["items"]
    return dict(row)


def test_columns_of_all_types_have_a_form_in_the_export(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [sa.literal(value, kind).label(name) for name, kind, value, _ in COLUMNS]
    assert export_of(columns, alice, monkeypatch) == {name: shown for name, _, _, shown in COLUMNS}


def test_not_a_number_is_a_text_in_the_export(
    database: Database, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = [sa.literal(float("nan"), sa.Float()).label("ratio")]
    # SQLite stores null instead.
    shown = "NaN" if database.engine.dialect.name == "postgresql" else None
    assert export_of(columns, alice, monkeypatch) == {"ratio": shown}


@on_sqlite
def test_an_infinite_number_inside_json_is_a_text_in_the_export(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [sa.literal({"a": [float("inf")]}, sa.JSON()).label("settings")]
    assert export_of(columns, alice, monkeypatch) == {"settings": {"a": ["Infinity"]}}


def table_of(*columns: Column[Any]) -> Table:
    """Return a table of an application, which is not among the tables of Charter."""
    return Table("drawings", MetaData(), Column("id", sa.Integer, primary_key=True, info=EXPORTED), *columns)


@pytest.mark.parametrize("kind", [kind for _, kind, _, _ in COLUMNS])
def test_exported_columns_may_have_any_type_with_a_form(kind: sa.types.TypeEngine[Any]) -> None:
    table = table_of(Column("user_id", sa.Uuid), Column("shape", kind, info=EXPORTED))
    assert table.c.shape in data_export.query_of(table).selected_columns.values()


def test_an_exported_table_without_a_user_id_is_rejected() -> None:
    message = (
        "the table drawings exports columns, but has no column user_id; add one that references users.id, or remove "
        "info=EXPORTED"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        data_export.query_of(table_of())


@pytest.mark.parametrize("kind", [sa.PickleType(), sa.types.NullType(), postgresql.INET(), sa.ARRAY(sa.PickleType())])
def test_an_exported_column_without_a_form_in_json_is_rejected(kind: sa.types.TypeEngine[Any]) -> None:
    table = table_of(Column("user_id", sa.Uuid), Column("shape", kind, info=EXPORTED))
    message = f"an export cannot show values of drawings.shape, which has the type {type(kind).__name__}; remove"
    with pytest.raises(ValueError, match=f"^{re.escape(message)} info=EXPORTED$"):
        data_export.query_of(table)
