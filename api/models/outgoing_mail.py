"""The outbox: mails that the transaction of a request has written, and a delivery worker sends."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, CheckConstraint, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from api.storage.database import Base, UtcDateTime
from api.storage.partial_index import partial_index

_WAITING = text("state = 'waiting'")


class OutgoingMail(Base):
    """A mail: waiting, sent, or dead if it cannot be delivered.

    A delivery worker claims a mail: it writes its `claim`, and moves `due_at` to the end of its lease. `address` is as
    the client wrote it, or that of the user. It and the `facts` are deleted once the mail is sent. The user has no
    foreign key, because a mail may outlive its user.
    """

    __tablename__ = "outbox"
    __exported__ = ("template", "state", "created_at", "sent_at")
    __table_args__ = (
        partial_index("ix_outbox_due_at", "due_at", _WAITING),
        Index("ix_outbox_state_id", "state", "id"),
        CheckConstraint("state IN ('waiting', 'sent', 'dead')", "state"),
        # SQLite ignores the length of a String.
        CheckConstraint("length(address) BETWEEN 3 AND 254", "address_length"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    template: Mapped[str] = mapped_column(String(40))
    user_id: Mapped[UUID | None] = mapped_column(index=True)
    address: Mapped[str | None] = mapped_column(String(254))
    locale: Mapped[str] = mapped_column(String(16))
    facts: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(8))
    attempts: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    claim: Mapped[UUID | None]
    error: Mapped[str | None] = mapped_column(String(200))
