"""Users, and the parts of a user that processes read or cache."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Column, Index, String, Table, Text, Uuid, text

from api.storage.database import METADATA, UtcDateTime, length_between
from api.storage.partial_index import partial_index, with_postgresql

_DELETES = text("deletes_at IS NOT NULL")
_DISABLED = text("disabled_at IS NOT NULL AND deletes_at IS NULL")
_ENABLED = text("disabled_at IS NULL")


@dataclass(frozen=True, slots=True)
class Profile:
    """The public part of a user, detached from the database. A trigger invalidates cached profiles on a change."""

    id: UUID
    username: str
    email: str
    created_at: datetime
    email_verified: bool = False
    pending_email: str | None = None
    display_name: str | None = None
    locale: str | None = None
    role: str = "user"


@dataclass(frozen=True, slots=True)
class ManagedUser(Profile):
    """A user as admins see it. `last_log_in_at` is the latest log-in that the database still shows."""

    disabled_at: datetime | None = None
    deletes_at: datetime | None = None
    last_log_in_at: datetime | None = None


class UserRow(NamedTuple):
    """The columns of a user."""

    id: UUID
    username: str
    username_key: str
    email: str
    email_key: str
    created_at: datetime
    password_hash: str
    disabled_at: datetime | None
    email_verified_at: datetime | None
    pending_email: str | None
    display_name: str | None
    locale: str | None
    role: str
    deletes_at: datetime | None

    @property
    def profile(self) -> Profile:
        return profile_of(self.id, self.created_at, self)


def profile_of(user_id: UUID, created_at: datetime, row: Any) -> Profile:
    """Return the profile of a user, whose other columns are in a row that may also have those of a session."""
    return Profile(
        id=user_id,
        username=row.username,
        email=row.email,
        created_at=created_at,
        email_verified=row.email_verified_at is not None,
        pending_email=row.pending_email,
        display_name=row.display_name,
        locale=row.locale,
        role=row.role,
    )


def _prefix_index(column: str) -> Index:
    """Return the index that finds all values with a prefix, whatever the collation of a PostgreSQL database is.

    On SQLite, the index of the unique values serves as well, because SQLite compares bytes.
    """
    options = with_postgresql(ops={column: "text_pattern_ops"})
    index = Index(f"ix_users_{column}_prefix", column, info=options | {"dialect": "postgresql"})
    index.ddl_if(dialect="postgresql")
    return index


users = Table(
    "users",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("username", String(80), nullable=False),
    Column("username_key", String(80), nullable=False, unique=True),
    Column("email", String(254), nullable=False),
    Column("email_key", String(254), nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
    Column("email_verified_at", UtcDateTime),
    # SQLite can add a column with its rule to a table that exists, and no other rule.
    Column("pending_email", String(254), length_between("pending_email", 3, 254)),
    Column("display_name", String(80), length_between("display_name", 1, 80)),
    Column("locale", String(16), length_between("locale", 2, 16)),
    Column("deletes_at", UtcDateTime),
    # The migration adds it to existing rows, which need a default.
    Column("role", String(32), length_between("role", 1, 32), nullable=False, server_default="user"),
    length_between("username", 5, 80),
    length_between("email", 3, 254),
    partial_index("ix_users_deletes_at", "deletes_at", _DELETES),
    Index("ix_users_role_id", "role", "id"),
    _prefix_index("username_key"),
    _prefix_index("email_key"),
    # Lists of users filter by the state.
    partial_index("ix_users_enabled", "id", _ENABLED),
    partial_index("ix_users_disabled", "id", _DISABLED),
    partial_index("ix_users_deleting", "id", _DELETES),
)
"""A person with an account. The `_key` columns hold the canonical forms, which must be unique.

A user with a `disabled_at` cannot log in. A user who asked for the deletion of the account has a `deletes_at` too.
`pending_email` is the address that the user wants, until its owner confirms it. `role` is one of `x-roles` in the
contract, which has the scopes of each.
"""
