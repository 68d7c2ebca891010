"""Let a background task purge expired sessions and used refresh tokens.

The purge finds used tokens by an index. The change feed no longer records the deletion of an expired session: its
tokens have expired too. A purge of many sessions would push other changes out of the feed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    used = sa.text("used_at IS NOT NULL")
    op.create_index(
        "ix_refresh_tokens_used_at", "refresh_tokens", ["used_at"], sqlite_where=used, postgresql_where=used
    )
    _replace_trigger(_WHEN_LIVE[op.get_bind().dialect.name])


def downgrade() -> None:
    _replace_trigger("")
    op.drop_index("ix_refresh_tokens_used_at", "refresh_tokens")


def _replace_trigger(condition: str) -> None:
    for statement in _REPLACE[op.get_bind().dialect.name]:
        op.execute(statement.format(condition=condition))


_WHEN_LIVE = {
    "sqlite": "WHEN OLD.expires_at > strftime('%Y-%m-%d %H:%M:%f', 'now', '-30 minutes') ",
    "postgresql": "WHEN (OLD.expires_at > now() - interval '30 minutes') ",
}
_REPLACE = {
    "sqlite": [
        "DROP TRIGGER sessions_delete",
        """
        CREATE TRIGGER sessions_delete AFTER DELETE ON sessions {condition}BEGIN
            INSERT INTO changes (topic, subject) SELECT 'sessions', OLD.id;
            DELETE FROM changes WHERE id <= (SELECT max(id) FROM changes) - 10000;
        END""",
    ],
    "postgresql": [
        "DROP TRIGGER sessions_delete ON sessions",
        "CREATE TRIGGER sessions_delete AFTER DELETE ON sessions FOR EACH ROW "
        "{condition}EXECUTE FUNCTION note_session()",
    ],
}
