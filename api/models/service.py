"""Service accounts, and their secrets."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from api.storage.database import Base, UtcDateTime


class Service(Base):
    """The account of another service, which is not a user. Its id is the `client_id` of its tokens.

    `scopes` are separated by spaces. `created_by` is the id of a user, who may have been deleted since.
    """

    __tablename__ = "services"
    __table_args__ = (
        # SQLite ignores the length of a String.
        CheckConstraint("length(name) BETWEEN 1 AND 80", "name_length"),
        CheckConstraint("length(scopes) BETWEEN 1 AND 1000", "scopes_length"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    name_key: Mapped[str] = mapped_column(String(80), unique=True)
    scopes: Mapped[str] = mapped_column(String(1000))
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[UUID | None] = mapped_column()


class ServiceSecret(Base):
    """A secret of a service. A service has two of them while it exchanges one for the other.

    `digest` is the SHA-256 of the secret, and `hint` its start. A secret without `expires_at` never expires.
    """

    __tablename__ = "service_secrets"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    service_id: Mapped[UUID] = mapped_column(ForeignKey("services.id", ondelete="CASCADE"), index=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    hint: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
