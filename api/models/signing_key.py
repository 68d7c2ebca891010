"""Signing keys, as the database stores them."""

from datetime import datetime

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from api.storage.database import Base, UtcDateTime


class StoredSigningKey(Base):
    """An encrypted signing key: next until `activated_at`, then active, and retired from `retires_at` on.

    The newest active key signs. The other active keys verify until all tokens that they signed have expired.
    """

    __tablename__ = "signing_keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    algorithm: Mapped[str] = mapped_column(String(16))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    activated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    retires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
