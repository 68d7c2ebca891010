"""Service accounts, and their secrets."""

from sqlalchemy import Column, ForeignKey, LargeBinary, String, Table, Uuid

from api.storage.database import METADATA, UtcDateTime, length_between

services = Table(
    "services",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("name", String(80), nullable=False),
    Column("name_key", String(80), nullable=False, unique=True),
    Column("scopes", String(1000), nullable=False),
    Column("disabled_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", Uuid),
    length_between("name", 1, 80),
    length_between("scopes", 1, 1000),
)
"""The account of another service, which is not a user. Its id is the `client_id` of its tokens.

`scopes` are separated by spaces. `created_by` is the id of a user, who may have been deleted since.
"""


service_secrets = Table(
    "service_secrets",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("service_id", Uuid, ForeignKey("services.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("hint", String(32), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
)
"""A secret of a service. A service has two of them while it exchanges one for the other.

`digest` is the SHA-256 of the secret, and `hint` its start. A secret without `expires_at` never expires.
"""
