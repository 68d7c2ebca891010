"""Changes of a user's profile in the change feed, because processes cache the profile with the session."""

from alembic import op

revision = "0003"
down_revision = "0002"

_SHOWN = "username, email, created_at, disabled_at"


def upgrade() -> None:
    _note_changes_of(_SHOWN)


def downgrade() -> None:
    _note_changes_of("disabled_at")


def _note_changes_of(columns: str) -> None:
    for statement in _REPLACE[op.get_bind().dialect.name]:
        op.execute(statement.format(columns=columns))


_REPLACE = {
    "sqlite": [
        "DROP TRIGGER users_update",
        """
        CREATE TRIGGER users_update AFTER UPDATE OF {columns} ON users BEGIN
            INSERT INTO changes (topic, subject) SELECT 'sessions', id FROM sessions WHERE user_id = OLD.id;
            DELETE FROM changes WHERE id <= (SELECT max(id) FROM changes) - 10000;
        END""",
    ],
    "postgresql": [
        "DROP TRIGGER users_update ON users",
        "CREATE TRIGGER users_update AFTER UPDATE OF {columns} ON users FOR EACH ROW EXECUTE FUNCTION note_user()",
    ],
}
