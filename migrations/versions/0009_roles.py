"""Add the role of a user, and the indexes of the lists of users.

The role is cached with the session, so a trigger records its changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_SHOWN = "username, email, created_at, disabled_at, email_verified_at, pending_email, display_name, locale"
_STATES = {
    "disabled": sa.text("disabled_at IS NOT NULL AND deletes_at IS NULL"),
    "deleting": sa.text("deletes_at IS NOT NULL"),
}


def upgrade() -> None:
    _drop_trigger()
    rule = sa.CheckConstraint("length(role) BETWEEN 1 AND 32", name=op.f("ck_users_role_length"))
    op.add_column("users", sa.Column("role", sa.String(32), rule, nullable=False, server_default="user"))
    op.create_index("ix_users_role_id", "users", ["role", "id"])
    for state, condition in _STATES.items():
        op.create_index(f"ix_users_{state}", "users", ["id"], sqlite_where=condition, postgresql_where=condition)
    # On SQLite, the index of the unique values finds those with a prefix.
    for column in _searched():
        operators = {column: "text_pattern_ops"}
        op.create_index(f"ix_users_{column}_prefix", "users", [column], postgresql_ops=operators)
    _create_trigger(f"{_SHOWN}, role")


def downgrade() -> None:
    _drop_trigger()
    for column in _searched():
        op.drop_index(f"ix_users_{column}_prefix", "users")
    for state in _STATES:
        op.drop_index(f"ix_users_{state}", "users")
    op.drop_index("ix_users_role_id", "users")
    op.drop_column("users", "role")
    _create_trigger(_SHOWN)


def _searched() -> tuple[str, ...]:
    return ("username_key", "email_key") if op.get_bind().dialect.name == "postgresql" else ()


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
