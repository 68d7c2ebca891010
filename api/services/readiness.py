"""The readiness check."""

from sqlalchemy import inspect, text

from api.errors import MigrationsBehind
from api.storage.database import Db


def check(db: Db, revision: str) -> None:
    """Raise MigrationsBehind unless the database's schema is at `revision`."""
    connection = db.connection()
    if not inspect(connection).has_table("alembic_version"):
        raise MigrationsBehind()
    if connection.scalar(text("SELECT version_num FROM alembic_version")) != revision:
        raise MigrationsBehind()
