"""The environment in which Alembic runs migrations: the models and the caller's connection."""

from functools import partial

from alembic import context

from api import models  # noqa: F401 - registers the tables
from api.storage import (
    partial_index,
    rate_limit_store,
    revisions,
    table_recreation,  # noqa: F401 - keeps triggers when a table is recreated
)
from api.storage.database import METADATA

connection = context.config.attributes["connection"]
tables = [METADATA, rate_limit_store.RATE_LIMITS] if connection.dialect.name == "postgresql" else METADATA
partial_index.set_options(METADATA)
compared = partial(revisions.is_compared, connection.dialect.name)
context.configure(connection=connection, target_metadata=tables, include_object=compared)
with context.begin_transaction():
    context.run_migrations()
