"""Add the role of a user. It is cached with the session, so a trigger records its changes."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_SHOWN = "username, email, created_at, disabled_at, email_verified_at, pending_email, display_name, locale"


def upgrade() -> None:
    _drop_trigger()
    rule = sa.CheckConstraint("length(role) BETWEEN 1 AND 32", name=op.f("ck_users_role_length"))
    op.add_column("users", sa.Column("role", sa.String(32), rule, nullable=False, server_default="user"))
    op.create_index("ix_users_role_id", "users", ["role", "id"])
    _create_trigger(f"{_SHOWN}, role")


def downgrade() -> None:
    _drop_trigger()
    op.drop_index("ix_users_role_id", "users")
    op.drop_column("users", "role")
    _create_trigger(_SHOWN)


def _drop_trigger() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    op.execute("DROP TRIGGER users_update ON users" if postgresql else "DROP TRIGGER users_update")


def _create_trigger(shown: str) -> None:
    op.execute(_CREATE[op.get_bind().dialect.name].format(shown=shown))


_CREATE = {
    "sqlite": """
        CREATE TRIGGER users_update AFTER UPDATE OF {shown} ON users BEGIN
            INSERT INTO changes (topic, subject) SELECT 'sessions', id FROM sessions WHERE user_id = OLD.id;
            DELETE FROM changes WHERE id <= (SELECT max(id) FROM changes) - 10000;
        END""",
    "postgresql": (
        "CREATE TRIGGER users_update AFTER UPDATE OF {shown} ON users FOR EACH ROW EXECUTE FUNCTION note_user()"
    ),
}
