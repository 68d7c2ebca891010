"""API keys. Each row holds the digest of its key."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from api.storage.database import Base, UtcDateTime


class ApiKey(Base):
    """A key with which the programs of a user call the API. It ends when its row is deleted, or at `expires_at`.

    `digest` is the SHA-256 of the key, and `hint` its first characters. `last_used_at` is at most two minutes old.
    """

    __tablename__ = "api_keys"
    __exported__ = ("id", "name", "hint", "scopes", "created_at", "expires_at", "last_used_at")
    __table_args__ = (
        Index("ix_api_keys_user_id_id", "user_id", "id"),
        # SQLite ignores the length of a String.
        CheckConstraint("length(name) BETWEEN 1 AND 80", "name_length"),
        CheckConstraint("length(hint) BETWEEN 1 AND 32", "hint_length"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(80))
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    hint: Mapped[str] = mapped_column(String(32))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
