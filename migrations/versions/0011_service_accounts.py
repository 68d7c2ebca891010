"""Add service accounts and their secrets. Processes cache both, so triggers record their changes."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_MOMENT = sa.DateTime(timezone=True)
_TABLES = ("services", "service_secrets")


def upgrade() -> None:
    op.create_table(
        "services",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("name_key", sa.String(80), nullable=False),
        sa.Column("scopes", sa.String(1000), nullable=False),
        sa.Column("disabled_at", _MOMENT, nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 80", name=op.f("ck_services_name_length")),
        sa.CheckConstraint("length(scopes) BETWEEN 1 AND 1000", name=op.f("ck_services_scopes_length")),
        sa.PrimaryKeyConstraint("id", name="pk_services"),
        sa.UniqueConstraint("name_key", name="uq_services_name_key"),
    )
    op.create_table(
        "service_secrets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("hint", sa.String(32), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["service_id"], ["services.id"], name="fk_service_secrets_service_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_service_secrets"),
        sa.UniqueConstraint("digest", name="uq_service_secrets_digest"),
    )
    op.create_index("ix_service_secrets_service_id", "service_secrets", ["service_id"])
    for statement in _TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    # A dropped table takes its triggers with it.
    op.drop_table("service_secrets")
    op.drop_table("services")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION note_services")


_TRIGGERS = {
    "sqlite": [
        f"""
        CREATE TRIGGER {table}_{event} AFTER {event} ON {table} BEGIN
            INSERT INTO changes (topic, subject) SELECT 'services', '';
            DELETE FROM changes WHERE id <= (SELECT max(id) FROM changes) - 10000;
        END"""  # noqa: S608 - all parts are constants
        for table in _TABLES
        for event in ("insert", "update", "delete")
    ],
    "postgresql": [
        """
        CREATE FUNCTION note_services() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM pg_notify('charter', 'services ');
            RETURN NULL;
        END $$""",
        *(
            f"CREATE TRIGGER {table}_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} "
            "EXECUTE FUNCTION note_services()"
            for table in _TABLES
        ),
    ],
}
