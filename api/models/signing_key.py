"""Signing keys, as the database stores them."""

from sqlalchemy import Column, LargeBinary, String, Table

from api.storage.database import METADATA, UtcDateTime

signing_keys = Table(
    "signing_keys",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("algorithm", String(16), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("activated_at", UtcDateTime),
    Column("retires_at", UtcDateTime),
)
"""An encrypted signing key: next until `activated_at`, then active, and retired from `retires_at` on.

The newest active key signs. The other active keys verify until all tokens that they signed have expired.
"""
