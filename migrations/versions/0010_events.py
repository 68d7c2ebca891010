"""Add the audit log. Triggers refuse changes of its events, and the deletion of those that are not old enough."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("event", sa.String(40), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("actor", sa.String(9), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("operation", sa.String(64), nullable=True),
        sa.Column("request_id", sa.Uuid(), nullable=True),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.CheckConstraint(
            "actor IN ('user', 'key', 'service', 'cli', 'system', 'anonymous')", name=op.f("ck_events_actor")
        ),
        sa.CheckConstraint("length(event) BETWEEN 1 AND 40", name=op.f("ck_events_event_length")),
        sa.CheckConstraint("length(operation) BETWEEN 1 AND 64", name=op.f("ck_events_operation_length")),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    op.create_index("ix_events_user_id_id", "events", ["user_id", "id"])
    op.create_index("ix_events_event_id", "events", ["event", "id"])
    op.create_table(
        "event_origins",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("ip_address", sa.String(45), nullable=False),
        sa.Column("user_agent", sa.String(255), nullable=False),
        sa.CheckConstraint("length(ip_address) BETWEEN 0 AND 45", name=op.f("ck_event_origins_ip_address_length")),
        sa.CheckConstraint("length(user_agent) BETWEEN 0 AND 255", name=op.f("ck_event_origins_user_agent_length")),
        sa.PrimaryKeyConstraint("event_id", name="pk_event_origins"),
    )
    op.create_index("ix_event_origins_user_id_event_id", "event_origins", ["user_id", "event_id"])
    purge = op.create_table(
        "events_purge",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("before", _MOMENT, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_events_purge_id")),
        sa.PrimaryKeyConstraint("id", name="pk_events_purge"),
    )
    op.execute(purge.insert().values(id=1, before=sa.text("'1970-01-01 00:00:00.000000'")))
    for statement in _TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("events")
    op.drop_table("event_origins")
    op.drop_table("events_purge")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION keep_events")


_TRIGGERS = {
    "sqlite": [
        """
        CREATE TRIGGER events_insert BEFORE INSERT ON events WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'events cannot be replaced'); END""",
        """
        CREATE TRIGGER events_update BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, 'events cannot be changed'); END""",
        """
        CREATE TRIGGER events_delete BEFORE DELETE ON events
        WHEN coalesce(OLD.at >= (SELECT before FROM events_purge), 1)
        BEGIN SELECT RAISE(ABORT, 'events cannot be deleted yet'); END""",
    ],
    "postgresql": [
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
}
