"""Run by Alembic: the models and the connection it works with."""

from alembic import context

from api import models  # noqa: F401 - registers the tables
from api.database import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
