"""Known places: the networks from which a user has logged in."""

from sqlalchemy import Column, ForeignKey, LargeBinary, Table, Uuid

from api.storage.database import METADATA, UtcDateTime

known_places = Table(
    "known_places",
    METADATA,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("digest", LargeBinary(16), primary_key=True),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("noticed_at", UtcDateTime),
)
"""A place of a user. `digest` is that of the IPv4 address or the IPv6 network, under the master secret.

`seen_at` is at most a day older than the latest log-in. `noticed_at` is when the user got a notice about the place.
"""
