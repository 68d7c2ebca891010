"""The audit log: events, which never change, and the addresses of the clients that caused them."""

from sqlalchemy import JSON, CheckConstraint, Column, Index, SmallInteger, String, Table, Uuid

from api.storage.database import EXPORTED, METADATA, UtcDateTime, length_between
from api.storage.triggers import declare

events = Table(
    "events",
    METADATA,
    Column("id", Uuid, primary_key=True, info=EXPORTED),
    Column("at", UtcDateTime, nullable=False, info=EXPORTED),
    Column("event", String(40), nullable=False, info=EXPORTED),
    Column("user_id", Uuid),
    Column("actor", String(9), nullable=False, info=EXPORTED),
    Column("actor_id", Uuid),
    Column("session_id", Uuid),
    Column("operation", String(64), info=EXPORTED),
    Column("request_id", Uuid, info=EXPORTED),
    Column("facts", JSON, nullable=False),
    Index("ix_events_user_id_id", "user_id", "id"),
    Index("ix_events_event_id", "event", "id"),
    CheckConstraint("actor IN ('user', 'key', 'service', 'cli', 'system', 'anonymous')", "actor"),
    length_between("event", 1, 40),
    length_between("operation", 1, 64),
)
"""An entry of the audit log. Triggers refuse each change, and the deletion of an event that is not old enough.

`user_id` is the user whom the event is about. It has no foreign key, because the event outlives the user. `actor`
is the kind of caller, and `actor_id` its id. `session_id` is the session that the event is about, or else that of
the caller. `facts` are ids, reasons and numbers, and never secrets, names or addresses.
"""


event_origins = Table(
    "event_origins",
    METADATA,
    Column("event_id", Uuid, primary_key=True, info=EXPORTED),
    Column("user_id", Uuid),
    Column("ip_address", String(45), nullable=False, info=EXPORTED),
    Column("user_agent", String(255), nullable=False, info=EXPORTED),
    length_between("ip_address", 0, 45),
    length_between("user_agent", 0, 255),
    Index("ix_event_origins_user_id_event_id", "user_id", "event_id"),
)
"""The client that caused an event. It is deleted much earlier than the event.

`user_id` is the user to whom the client belongs: the caller, or else the user whom the event is about. Neither it
nor the event has a foreign key, so that an event costs no further lookups. A deletion of the user deletes the rows.
"""


events_purge = Table(
    "events_purge",
    METADATA,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("before", UtcDateTime, nullable=False),
    CheckConstraint("id = 1", "id"),
)
"""The one row that allows the deletion of events that are older than `before`."""


def _refusing(name: str, when: str, message: str) -> str:
    """Return the statement that creates a trigger on SQLite."""
    return f"CREATE TRIGGER {name} BEFORE {when} BEGIN SELECT RAISE(ABORT, '{message}'); END"


declare(
    "sqlite",
    [
        # INSERT OR REPLACE would delete the former row without a trigger.
        _refusing(
            "events_insert",
            "INSERT ON events WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id)",
            "events cannot be replaced",
        ),
        _refusing("events_update", "UPDATE ON events", "events cannot be changed"),
        _refusing(
            "events_delete",
            "DELETE ON events WHEN coalesce(OLD.at >= (SELECT before FROM events_purge), 1)",
            "events cannot be deleted yet",
        ),
    ],
)
declare(
    "postgresql",
    [
        """
        CREATE FUNCTION keep_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF TG_OP = 'DELETE' THEN
                IF OLD.at < (SELECT before FROM events_purge) THEN
                    RETURN OLD;
                END IF;
            END IF;
            RAISE EXCEPTION 'events cannot be changed, or deleted yet' USING ERRCODE = 'restrict_violation';
        END $$""",
        "CREATE TRIGGER events_update BEFORE UPDATE ON events EXECUTE FUNCTION keep_events()",
        "CREATE TRIGGER events_delete BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION keep_events()",
        "CREATE TRIGGER events_truncate BEFORE TRUNCATE ON events EXECUTE FUNCTION keep_events()",
    ],
)
