"""What other processes must hear of: the database itself notes it, whoever changes it and however.

Triggers note a session that ends or whose user changes, and a signing key that changes. SQLite keeps the notes in a
table, of which the newest 10,000 stay; PostgreSQL sends them on the channel `charter`, and its table stays empty.
"""

from sqlalchemy import DDL, Integer, String, event
from sqlalchemy.orm import Mapped, mapped_column

from api.storage.database import Base


class Change(Base):
    """That the row `subject` of the table `topic` is not what it was; an empty subject is all of its rows.

    Ids go up by one, in the order of commits.
    """

    __tablename__ = "changes"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - SQLAlchemy's own way

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    topic: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(36))


def _noting(name: str, when: str, notes: str) -> str:
    """SQLite's trigger."""
    return f"""
        CREATE TRIGGER {name} AFTER {when} BEGIN
            INSERT INTO changes (topic, subject) {notes};
            DELETE FROM changes WHERE id <= (SELECT max(id) FROM changes) - 10000;
        END"""  # noqa: S608 - nothing of it comes from outside


def _sending(name: str, note: str) -> str:
    """PostgreSQL's function for a trigger."""
    return f"""
        CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM {note};
            RETURN NULL;
        END $$"""


# The tokens of a session that expired half an hour ago have expired as well, whatever the clocks of the hosts are, so
# its deletion is no change. A purge deletes many of them.
# A session ends when it is deleted, when its end is put before what it was, and when its user is gone or disabled: not
# every connection to SQLite keeps its foreign keys. Ids are noted in 32 hexadecimal digits, as SQLite keeps them.
_THIS = "SELECT 'sessions', OLD.id"
# What is remembered of a user is remembered with the session.
_SHOWN = "username, email, created_at, disabled_at"
_OF_USER = "SELECT 'sessions', id FROM sessions WHERE user_id = OLD.id"
_ON_SQLITE = [
    _noting(
        "sessions_delete",
        "DELETE ON sessions WHEN OLD.expires_at > strftime('%Y-%m-%d %H:%M:%f', 'now', '-30 minutes')",
        _THIS,
    ),
    _noting("sessions_update", "UPDATE ON sessions WHEN NEW.expires_at < OLD.expires_at", _THIS),
    _noting("users_delete", "DELETE ON users", _OF_USER),
    _noting("users_update", f"UPDATE OF {_SHOWN} ON users", _OF_USER),
    *(
        _noting(f"signing_keys_{event_name}", f"{event_name} ON signing_keys", "SELECT 'signing_keys', ''")
        for event_name in ("insert", "update", "delete")
    ),
]
_ON_POSTGRESQL = [
    _sending("note_session", "pg_notify('charter', 'sessions ' || replace(OLD.id::text, '-', ''))"),
    _sending(
        "note_user",
        "pg_notify('charter', 'sessions ' || replace(id::text, '-', '')) FROM sessions WHERE user_id = OLD.id",
    ),
    _sending("note_table", "pg_notify('charter', TG_TABLE_NAME || ' ')"),
    "CREATE TRIGGER sessions_delete AFTER DELETE ON sessions FOR EACH ROW "
    "WHEN (OLD.expires_at > now() - interval '30 minutes') EXECUTE FUNCTION note_session()",
    "CREATE TRIGGER sessions_update AFTER UPDATE ON sessions FOR EACH ROW "
    "WHEN (NEW.expires_at < OLD.expires_at) EXECUTE FUNCTION note_session()",
    "CREATE TRIGGER sessions_truncate AFTER TRUNCATE ON sessions EXECUTE FUNCTION note_table()",
    f"CREATE TRIGGER users_update AFTER UPDATE OF {_SHOWN} ON users FOR EACH ROW EXECUTE FUNCTION note_user()",
    "CREATE TRIGGER signing_keys_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON signing_keys "
    "EXECUTE FUNCTION note_table()",
]
for dialect, statements in (("sqlite", _ON_SQLITE), ("postgresql", _ON_POSTGRESQL)):
    for statement in statements:
        event.listen(Base.metadata, "after_create", DDL(statement.replace("%", "%%")).execute_if(dialect=dialect))  # type: ignore[no-untyped-call]
