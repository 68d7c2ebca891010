"""Retired names: usernames that a user gave up. Only that user may take them back before a time."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from api.storage.database import Base, UtcDateTime


class RetiredName(Base):
    """The canonical form of a username that is reserved `until` this time. A deleted user has no `user_id`."""

    __tablename__ = "retired_names"
    __exported__ = ("key", "until")

    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    until: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
