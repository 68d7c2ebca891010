"""The outbox: mails that the transaction of a request has written, and a delivery worker sends."""

from sqlalchemy import JSON, CheckConstraint, Column, Index, Integer, String, Table, Uuid, text

from api.storage.database import EXPORTED, METADATA, UtcDateTime, length_between
from api.storage.partial_index import partial_index

_WAITING = text("state = 'waiting'")


outbox = Table(
    "outbox",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("template", String(40), nullable=False, info=EXPORTED),
    Column("user_id", Uuid, index=True),
    Column("address", String(254)),
    Column("locale", String(16), nullable=False),
    Column("facts", JSON),
    Column("state", String(8), nullable=False, info=EXPORTED),
    Column("attempts", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, info=EXPORTED),
    Column("due_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime, info=EXPORTED),
    Column("claim", Uuid),
    Column("error", String(200)),
    partial_index("ix_outbox_due_at", "due_at", _WAITING),
    Index("ix_outbox_state_id", "state", "id"),
    CheckConstraint("state IN ('waiting', 'sent', 'dead')", "state"),
    length_between("address", 3, 254),
)
"""A mail: waiting, sent, or dead if it cannot be delivered.

A delivery worker claims a mail: it writes its `claim`, and moves `due_at` to the end of its lease. `address` is as
the client wrote it, or that of the user. It and the `facts` are deleted once the mail is sent. The user has no
foreign key, because a mail may outlive its user.
"""
