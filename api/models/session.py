"""Sessions and their refresh tokens."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column

from api.storage.database import Base, UtcDateTime


class Session(Base):
    """One log-in. A session ends when its row is deleted, or at `expires_at`, which each refresh extends.

    `family` is a digest, under the master secret, of the prefix that all refresh tokens of the session share.
    """

    __tablename__ = "sessions"
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


class RefreshToken(Base):
    """The SHA-256 digest of a refresh token: the current one of a session, or one used within the grace period."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (
        # A partial index, because the purge searches for used tokens only, and most tokens are unused.
        Index(
            "ix_refresh_tokens_used_at",
            "used_at",
            sqlite_where=text("used_at IS NOT NULL"),
            postgresql_where=text("used_at IS NOT NULL"),
        ),
    )

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), index=True)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
