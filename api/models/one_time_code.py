"""One-time codes. Each holds the digest of its code."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from api.storage.database import Base, UtcDateTime


class OneTimeCode(Base):
    """A code that was sent to an address. It works once, for one purpose.

    `email_key` is the canonical form of the address. A code for a sign-up has no user.
    """

    __tablename__ = "codes"
    __table_args__ = (
        Index("ix_codes_user_id_purpose", "user_id", "purpose"),
        Index("ix_codes_email_key_purpose", "email_key", "purpose"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16))
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(254))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
