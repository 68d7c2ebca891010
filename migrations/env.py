"""The environment in which Alembic runs migrations: the models and the caller's connection."""

from alembic import context

from api import models  # noqa: F401 - registers the tables
from api.storage import table_recreation  # noqa: F401 - keeps triggers when a table is recreated
from api.storage.database import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
