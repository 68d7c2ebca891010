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
from api.storage.database import Base

connection = context.config.attributes["connection"]
tables = [Base.metadata, rate_limit_store.METADATA] if connection.dialect.name == "postgresql" else Base.metadata
partial_index.set_options(Base.metadata)
compared = partial(revisions.is_compared, connection.dialect.name)
context.configure(connection=connection, target_metadata=tables, include_object=compared)
with context.begin_transaction():
    context.run_migrations()
