"""Retired names: usernames that a user gave up. Only that user may take them back before a time."""

from sqlalchemy import Column, ForeignKey, String, Table, Uuid

from api.storage.database import EXPORTED, METADATA, UtcDateTime

retired_names = Table(
    "retired_names",
    METADATA,
    Column("key", String(80), primary_key=True, info=EXPORTED),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="SET NULL"), index=True),
    Column("until", UtcDateTime, nullable=False, index=True, info=EXPORTED),
)
"""The canonical form of a username that is reserved `until` this time. A deleted user has no `user_id`."""
