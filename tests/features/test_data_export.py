"""The export of a user's data: everything of the user, and nothing secret."""

import re
from base64 import b64encode
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select
from starlette.testclient import TestClient

from api import clock, models
from api.config import Config
from api.services import data_export
from api.storage.database import Database
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
