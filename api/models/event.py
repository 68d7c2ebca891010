"""The audit log: events, which never change, and the addresses of the clients that caused them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, CheckConstraint, Index, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from api.storage.database import Base, UtcDateTime
from api.storage.triggers import declare


class Event(Base):
    """An entry of the audit log. Triggers refuse each change, and the deletion of an event that is not old enough.

    `user_id` is the user whom the event is about. It has no foreign key, because the event outlives the user. `actor`
    is the kind of caller, and `actor_id` its id. `session_id` is the session that the event is about, or else that of
    the caller. `facts` are ids, reasons and numbers, and never secrets, names or addresses.
    """

    __tablename__ = "events"
    __exported__ = ("id", "at", "event", "actor", "operation", "request_id")
    __table_args__ = (
        Index("ix_events_user_id_id", "user_id", "id"),
        Index("ix_events_event_id", "event", "id"),
        CheckConstraint("actor IN ('user', 'key', 'service', 'cli', 'system', 'anonymous')", "actor"),
        # SQLite ignores the length of a String.
        CheckConstraint("length(event) BETWEEN 1 AND 40", "event_length"),
        CheckConstraint("length(operation) BETWEEN 1 AND 64", "operation_length"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    event: Mapped[str] = mapped_column(String(40))
    user_id: Mapped[UUID | None]
    actor: Mapped[str] = mapped_column(String(9))
    actor_id: Mapped[UUID | None]
    session_id: Mapped[UUID | None]
    operation: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[UUID | None]
    facts: Mapped[dict[str, Any]] = mapped_column(JSON)


class EventOrigin(Base):
    """The client that caused an event. It is deleted much earlier than the event.

    `user_id` is the user to whom the client belongs: the caller, or else the user whom the event is about. Neither it
    nor the event has a foreign key, so that an event costs no further lookups. A deletion of the user deletes the rows.
    """

    __tablename__ = "event_origins"
    __exported__ = ("event_id", "ip_address", "user_agent")
    __table_args__ = (
        # SQLite ignores the length of a String.
        CheckConstraint("length(ip_address) BETWEEN 0 AND 45", "ip_address_length"),
        CheckConstraint("length(user_agent) BETWEEN 0 AND 255", "user_agent_length"),
        Index("ix_event_origins_user_id_event_id", "user_id", "event_id"),
    )

    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID | None]
    ip_address: Mapped[str] = mapped_column(String(45))
    user_agent: Mapped[str] = mapped_column(String(255))


class EventsPurge(Base):
    """The one row that allows the deletion of events that are older than `before`."""

    __tablename__ = "events_purge"
    __table_args__ = (CheckConstraint("id = 1", "id"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    before: Mapped[datetime] = mapped_column(UtcDateTime)


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
