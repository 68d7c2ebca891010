"""The sessions that ended before their tokens expired."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from api.database import Base, UtcDateTime


class Revocation(Base):
    """A session whose tokens are refused; after `expires_at` they are refused anyway, and the row can go."""

    __tablename__ = "revocations"

    session_id: Mapped[UUID] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
