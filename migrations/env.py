"""The environment in which Alembic runs migrations: the tables and the caller's connection."""

from functools import partial

from alembic import context

from api import models
from api.storage import (
    partial_index,
    rate_limit_store,
    revisions,
    table_recreation,  # noqa: F401 - keeps triggers when a table is recreated
)

connection = context.config.attributes["connection"]
tables = [models.METADATA]
if connection.dialect.name == "postgresql":
    tables.append(rate_limit_store.RATE_LIMIT_METADATA)
partial_index.set_options(models.METADATA)
compared = partial(revisions.is_compared, connection.dialect.name)
context.configure(connection=connection, target_metadata=tables, include_object=compared)
with context.begin_transaction():
    context.run_migrations()
