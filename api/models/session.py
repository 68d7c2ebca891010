"""Sessions. Each holds the digest of its refresh token."""

from sqlalchemy import JSON, Column, ForeignKey, Index, LargeBinary, String, Table, Uuid

from api.storage.database import EXPORTED, METADATA, UtcDateTime, length_between

sessions = Table(
    "sessions",
    METADATA,
    Column("id", Uuid, primary_key=True, info=EXPORTED),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("family", LargeBinary(32), nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False, info=EXPORTED),
    Column("last_used_at", UtcDateTime, nullable=False, info=EXPORTED),
    Column("expires_at", UtcDateTime, nullable=False, index=True, info=EXPORTED),
    Column("ip_address", String(45), nullable=False, info=EXPORTED),
    Column("user_agent", String(255), nullable=False, info=EXPORTED),
    # The migration adds both to existing rows, which need a default.
    Column("refresh_token", LargeBinary(32), nullable=False, server_default=""),
    Column("refreshes", JSON, nullable=False, server_default="[]"),
    Column("authenticated_at", UtcDateTime),
    Index("ix_sessions_user_id_id", "user_id", "id"),
    length_between("ip_address", 0, 45),
    length_between("user_agent", 0, 255),
)
"""One log-in. A session ends when its row is deleted, or at `expires_at`, which each refresh extends.

`family` is a digest, under the master secret, of the prefix that all refresh tokens of the session share.
`refresh_token` is the SHA-256 of the one that is valid. `refreshes` are the times of the latest refreshes, oldest
first, in milliseconds since 1970: one for each token that may still be in its grace period.
`authenticated_at` is the latest time at which the user proved the identity, or None for that of the log-in.
"""
