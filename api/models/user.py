"""Users, and the parts of a user that processes read or cache."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import CheckConstraint, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from api import clock
from api.storage.database import Base, UtcDateTime, new_id


@dataclass(frozen=True, slots=True)
class Profile:
    """The public part of a user, detached from the database. A trigger invalidates cached profiles on a change."""

    id: UUID
    username: str
    email: str
    created_at: datetime


class UserRow(NamedTuple):
    """The columns of a user that a log-in reads."""

    id: UUID
    username: str
    email: str
    created_at: datetime
    password_hash: str
    disabled_at: datetime | None

    @property
    def profile(self) -> Profile:
        return Profile(self.id, self.username, self.email, self.created_at)


class User(Base):
    """A person with an account. The `_key` columns hold the canonical forms, which must be unique.

    A user with a `disabled_at` cannot log in.
    """

    __tablename__ = "users"
    __table_args__ = (
        # SQLite ignores the length of a String.
        CheckConstraint("length(username) BETWEEN 5 AND 80", "username_length"),
        CheckConstraint("length(email) BETWEEN 3 AND 254", "email_length"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    username: Mapped[str] = mapped_column(String(80))
    username_key: Mapped[str] = mapped_column(String(80), unique=True)
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=lambda: clock.now())  # noqa: PLW0108 - tests replace clock.now
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
