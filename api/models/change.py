"""The change feed: changes that other processes must learn, recorded by triggers in the database.

Triggers record the end of a session or an API key, a change of its user, and changes of signing keys and services.
Changes made by hand in SQL are therefore recorded as well. SQLite stores the newest 10,000 changes in a table.
PostgreSQL sends them on the channel `charter`, and its table stays empty.
"""

from sqlalchemy import Column, Integer, String, Table

from api.storage.database import METADATA
from api.storage.triggers import declare

changes = Table(
    "changes",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("topic", String(16), nullable=False),
    Column("subject", String(36), nullable=False),
    sqlite_autoincrement=True,
)
"""A change of the row `subject` in the table `topic`. An empty subject means all rows of the table.

Ids increase by one, in the order of the commits.
"""


def _noting(name: str, when: str, notes: str) -> str:
    """Return the statement that creates a trigger on SQLite."""
    return f"""
        CREATE TRIGGER {name} AFTER {when} BEGIN
            INSERT INTO changes (topic, subject) {notes};
            DELETE FROM changes WHERE id <= (SELECT max(id) FROM changes) - 10000;
        END"""  # noqa: S608 - all parts are constants


def _sending(name: str, note: str) -> str:
    """Return the statement that creates the function of a trigger on PostgreSQL."""
    return f"""
        CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM {note};
            RETURN NULL;
        END $$"""


# The deletion of a session that expired half an hour ago is not recorded. Its tokens have expired too, even if the
# clocks of the hosts differ, and a purge deletes many such sessions.
# A session ends when it is deleted, when its expiry becomes earlier, or when its user is deleted or disabled. The
# deletion of a user needs a trigger, because SQLite enforces foreign keys only on connections that turn them on.
# Ids are recorded as 32 hexadecimal digits, which is how SQLite stores them.
_THIS = "SELECT 'sessions', OLD.id"
# Processes cache these columns of a user with the session.
_SHOWN = "username, email, created_at, disabled_at, email_verified_at, pending_email, display_name, locale, role"
# A session that ends earlier, or whose user has proven the identity again.
_CHANGED = (
    "NEW.expires_at < OLD.expires_at "
    "OR coalesce(NEW.authenticated_at, NEW.created_at) > coalesce(OLD.authenticated_at, OLD.created_at)"
)
# Processes cache the user with the API keys as well.
_OF_USER = (
    "SELECT 'sessions', id FROM sessions WHERE user_id = OLD.id "
    "UNION ALL SELECT 'api_keys', id FROM api_keys WHERE user_id = OLD.id"
)
_THIS_KEY = "SELECT 'api_keys', OLD.id"
_ON_SQLITE = [
    _noting(
        "sessions_delete",
        "DELETE ON sessions WHEN OLD.expires_at > strftime('%Y-%m-%d %H:%M:%f', 'now', '-30 minutes')",
        _THIS,
    ),
    _noting("sessions_update", f"UPDATE ON sessions WHEN {_CHANGED}", _THIS),
    _noting("users_delete", "DELETE ON users", _OF_USER),
    _noting("users_update", f"UPDATE OF {_SHOWN} ON users", _OF_USER),
    _noting(
        "api_keys_delete",
        "DELETE ON api_keys WHEN OLD.expires_at > strftime('%Y-%m-%d %H:%M:%f', 'now', '-30 minutes')",
        _THIS_KEY,
    ),
    _noting("api_keys_update", "UPDATE OF scopes, expires_at ON api_keys", _THIS_KEY),
    *(
        _noting(f"signing_keys_{event_name}", f"{event_name} ON signing_keys", "SELECT 'signing_keys', ''")
        for event_name in ("insert", "update", "delete")
    ),
    # Both tables change rarely, so a change invalidates all services.
    *(
        _noting(f"{table}_{event_name}", f"{event_name} ON {table}", "SELECT 'services', ''")
        for table in ("services", "service_secrets")
        for event_name in ("insert", "update", "delete")
    ),
]
_ON_POSTGRESQL = [
    _sending("note_session", "pg_notify('charter', 'sessions ' || replace(OLD.id::text, '-', ''))"),
    _sending(
        "note_user",
        "pg_notify('charter', topic || ' ' || replace(id::text, '-', '')) FROM "
        "(SELECT 'sessions' AS topic, id FROM sessions WHERE user_id = OLD.id "
        "UNION ALL SELECT 'api_keys', id FROM api_keys WHERE user_id = OLD.id) AS cached",
    ),
    _sending("note_key", "pg_notify('charter', 'api_keys ' || replace(OLD.id::text, '-', ''))"),
    _sending("note_table", "pg_notify('charter', TG_TABLE_NAME || ' ')"),
    _sending("note_services", "pg_notify('charter', 'services ')"),
    "CREATE TRIGGER sessions_delete AFTER DELETE ON sessions FOR EACH ROW "
    "WHEN (OLD.expires_at > now() - interval '30 minutes') EXECUTE FUNCTION note_session()",
    "CREATE TRIGGER sessions_update AFTER UPDATE ON sessions FOR EACH ROW "
    f"WHEN ({_CHANGED}) EXECUTE FUNCTION note_session()",
    "CREATE TRIGGER sessions_truncate AFTER TRUNCATE ON sessions EXECUTE FUNCTION note_table()",
    "CREATE TRIGGER api_keys_delete AFTER DELETE ON api_keys FOR EACH ROW "
    "WHEN (OLD.expires_at > now() - interval '30 minutes') EXECUTE FUNCTION note_key()",
    "CREATE TRIGGER api_keys_update AFTER UPDATE OF scopes, expires_at ON api_keys FOR EACH ROW "
    "EXECUTE FUNCTION note_key()",
    "CREATE TRIGGER api_keys_truncate AFTER TRUNCATE ON api_keys EXECUTE FUNCTION note_table()",
    f"CREATE TRIGGER users_update AFTER UPDATE OF {_SHOWN} ON users FOR EACH ROW EXECUTE FUNCTION note_user()",
    "CREATE TRIGGER signing_keys_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON signing_keys "
    "EXECUTE FUNCTION note_table()",
    *(
        f"CREATE TRIGGER {table}_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} "
        "EXECUTE FUNCTION note_services()"
        for table in ("services", "service_secrets")
    ),
]
declare("sqlite", _ON_SQLITE)
declare("postgresql", _ON_POSTGRESQL)
