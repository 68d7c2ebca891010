"""One-time codes. Each holds the digest of its code."""

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, String, Table, Uuid

from api.storage.database import METADATA, UtcDateTime

codes = Table(
    "codes",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("purpose", String(16), nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE")),
    Column("email", String(254), nullable=False),
    Column("email_key", String(254), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Index("ix_codes_user_id_purpose", "user_id", "purpose"),
    Index("ix_codes_email_key_purpose", "email_key", "purpose"),
)
"""A code that was sent to an address. It works once, for one purpose.

`email_key` is the canonical form of the address. A code for a sign-up has no user.
"""
