"""Admins, and what they do to other users by the API."""

from datetime import timedelta
from typing import Any

import httpx
from sqlalchemy import update

from api import models
from api.config import Config
from api.mailing import make_outbox
from api.storage.database import Database
from tests.support.person import Person, newcomer
from tests.support.roles import promote

USERS = "/api/v1/users"


def admin_of(config: Config, client: httpx.Client, username: str = "root9") -> Person:
    """Return a new admin who has logged in."""
    return promote(config, newcomer(client, username), "admin")


def change_user(admin: Person, user: Person, verb: str) -> httpx.Response:
    """Demote, disable or delete a user."""
    path = f"{USERS}/{user.id}"
    if verb == "demote":
        return admin.put(f"{path}/role", json={"role": "user"})
    return admin.post(f"{path}/disable") if verb == "disable" else admin.delete(path)


def pages(admin: Person, path: str = USERS, **query: int | str) -> list[list[dict[str, Any]]]:
    """Return all pages of a list."""
    found: list[list[dict[str, Any]]] = []
    cursor: str | None = ""
    while cursor is not None:
        sent = query | ({"cursor": cursor} if cursor else {})
        response = admin.client.get(path, headers=admin.headers, params=sent)
        assert response.status_code == 200, response.text
        found.append(response.json()["items"])
        cursor = response.json()["next_cursor"]
    return found


def names(admin: Person, **query: int | str) -> list[str]:
    """Return the usernames of all pages of a list of users."""
    return [item["username"] for page in pages(admin, USERS, **query) for item in page]


def dead_mail(config: Config, database: Database) -> str:
    """Add a dead mail, and return its id."""
    with database.transaction() as db:
        mail = make_outbox(config).add(db, "test", "reader@example.com", timedelta(hours=1))
        db.run(update(models.outbox).where(models.outbox.c.id == mail).values(state="dead"))
    return str(mail)
