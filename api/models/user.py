"""The users."""

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
    """What users see of themselves, without the database; a trigger tells who remembers it when it changes."""

    id: UUID
    username: str
    email: str
    created_at: datetime


class UserRow(NamedTuple):
    """What a log-in reads of a user."""

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
    """A person with an account; the canonical `_key` columns are what no two users share.

    From `disabled_at` on nobody logs in as this user.
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
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=lambda: clock.now())  # noqa: PLW0108 - asks the clock of that moment
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
