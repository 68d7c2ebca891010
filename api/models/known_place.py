"""Known places: the networks from which a user has logged in."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from api.storage.database import Base, UtcDateTime


class KnownPlace(Base):
    """A place of a user. `digest` is that of the IPv4 address or the IPv6 network, under the master secret.

    `seen_at` is at most a day older than the latest log-in. `noticed_at` is when the user got a notice about the place.
    """

    __tablename__ = "known_places"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    noticed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
