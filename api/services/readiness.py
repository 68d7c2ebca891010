"""The readiness check."""

from api.errors import MigrationsBehind
from api.storage.database import Db, revision_of


def check(db: Db, revision: str) -> None:
    """Raise MigrationsBehind unless the database's schema is at `revision`."""
    if revision_of(db.connection()) != revision:
        raise MigrationsBehind()
