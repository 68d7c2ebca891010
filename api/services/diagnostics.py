"""What a database says of itself, for who runs it."""

from datetime import timedelta

from sqlalchemy import text

from api import clock
from api.storage.database import Db


def answer(db: Db) -> None:
    """Have the database answer something."""
    db.execute(text("SELECT 1"))


def clock_skew(db: Db) -> timedelta:
    """How far PostgreSQL's clock is before this host's, as far as an answer that takes its time can tell."""
    asked = clock.now()
    theirs = db.execute(text("SELECT clock_timestamp()")).scalar_one()
    took = clock.now() - asked
    skew: timedelta = theirs - asked - took / 2
    return skew if abs(skew) > took else timedelta()


def max_connections(db: Db) -> int:
    """How many connections PostgreSQL takes, of all who use it."""
    query = "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
    return int(db.execute(text(query)).scalar_one())
