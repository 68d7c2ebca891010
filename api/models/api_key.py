"""API keys. Each row holds the digest of its key."""

from sqlalchemy import JSON, Column, ForeignKey, Index, LargeBinary, String, Table, Uuid

from api.storage.database import EXPORTED, METADATA, UtcDateTime, length_between

api_keys = Table(
    "api_keys",
    METADATA,
    Column("id", Uuid, primary_key=True, info=EXPORTED),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(80), nullable=False, info=EXPORTED),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("hint", String(32), nullable=False, info=EXPORTED),
    Column("scopes", JSON, nullable=False, info=EXPORTED),
    Column("created_at", UtcDateTime, nullable=False, info=EXPORTED),
    Column("expires_at", UtcDateTime, nullable=False, index=True, info=EXPORTED),
    Column("last_used_at", UtcDateTime, info=EXPORTED),
    Index("ix_api_keys_user_id_id", "user_id", "id"),
    length_between("name", 1, 80),
    length_between("hint", 1, 32),
)
"""A key with which the programs of a user call the API. It ends when its row is deleted, or at `expires_at`.

`digest` is the SHA-256 of the key, and `hint` its first characters. `last_used_at` is at most two minutes old.
"""
