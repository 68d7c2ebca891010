"""Sessions. Each holds the digest of its refresh token."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from api.storage.database import Base, UtcDateTime


class Session(Base):
    """One log-in. A session ends when its row is deleted, or at `expires_at`, which each refresh extends.

    `family` is a digest, under the master secret, of the prefix that all refresh tokens of the session share.
    `refresh_token` is the SHA-256 of the one that is valid. `refreshes` are the times of the latest refreshes, oldest
    first, in milliseconds since 1970: one for each token that may still be in its grace period.
    `authenticated_at` is the latest time at which the user proved the identity, or None for that of the log-in.
    """

    __tablename__ = "sessions"
    __exported__ = ("id", "created_at", "last_used_at", "expires_at", "ip_address", "user_agent")
    __table_args__ = (
        Index("ix_sessions_user_id_id", "user_id", "id"),
        # SQLite ignores the length of a String.
        CheckConstraint("length(ip_address) BETWEEN 0 AND 45", "ip_address_length"),
        CheckConstraint("length(user_agent) BETWEEN 0 AND 255", "user_agent_length"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    family: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    ip_address: Mapped[str] = mapped_column(String(45))
    user_agent: Mapped[str] = mapped_column(String(255))
    # The migration adds both to existing rows, which need a default.
    refresh_token: Mapped[bytes] = mapped_column(LargeBinary(32), server_default="")
    refreshes: Mapped[list[int]] = mapped_column(JSON, server_default="[]")
    authenticated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
