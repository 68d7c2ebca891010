"""Keep the digest of the refresh token in its session.

A refresh then changes one row, and used tokens leave no rows behind. The change feed no longer records the deletion of
a session that expired half an hour ago. Its tokens have expired too, and a purge of many sessions would push other
changes out of the feed. The downgrade forgets used tokens, so none of them is in a grace period after it.
"""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_MOMENT = sa.DateTime(timezone=True)
_GRACE = timedelta(seconds=10)
_sessions = sa.table(
    "sessions", sa.column("id", sa.Uuid), sa.column("refresh_token", sa.LargeBinary), sa.column("refreshes", sa.JSON)
)
_tokens = sa.table(
    "refresh_tokens",
    sa.column("digest", sa.LargeBinary),
    sa.column("session_id", sa.Uuid),
    sa.column("used_at", _MOMENT),
)


def upgrade() -> None:
    _replace_trigger(_WHEN_LIVE[op.get_bind().dialect.name])
    op.add_column("sessions", sa.Column("refresh_token", sa.LargeBinary(32), nullable=False, server_default=""))
    op.add_column("sessions", sa.Column("refreshes", sa.JSON, nullable=False, server_default="[]"))
    is_valid = sa.and_(_tokens.c.session_id == _sessions.c.id, _tokens.c.used_at.is_(None))
    # No client could refresh a session without a valid token.
    op.execute(sa.delete(_sessions).where(~sa.exists().where(is_valid)))
    valid = sa.select(_tokens.c.digest).where(is_valid).scalar_subquery()
    op.execute(sa.update(_sessions).values(refresh_token=valid))
    for session_id, refreshes in _latest_refreshes().items():
        op.execute(sa.update(_sessions).where(_sessions.c.id == session_id).values(refreshes=refreshes))
    op.drop_table("refresh_tokens")


def downgrade() -> None:
    _replace_trigger("")
    op.create_table(
        "refresh_tokens",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("session_id", sa.Uuid, nullable=False),
        sa.Column("used_at", _MOMENT),
        sa.PrimaryKeyConstraint("digest", name="pk_refresh_tokens"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name="fk_refresh_tokens_session_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_refresh_tokens_session_id", "refresh_tokens", ["session_id"])
    valid = sa.select(_sessions.c.refresh_token, _sessions.c.id)
    op.execute(sa.insert(_tokens).from_select(["digest", "session_id"], valid))
    op.drop_column("sessions", "refreshes")
    op.drop_column("sessions", "refresh_token")


def _latest_refreshes() -> dict[object, list[int]]:
    """Return the times in milliseconds of the refreshes whose used token is in its grace period, by session."""
    lately = sa.select(_tokens).where(_tokens.c.used_at > datetime.now(UTC) - _GRACE).order_by(_tokens.c.used_at)
    found: dict[object, list[int]] = {}
    for row in op.get_bind().execute(lately):
        moment = row.used_at.replace(tzinfo=row.used_at.tzinfo or UTC)
        found.setdefault(row.session_id, []).append(int(moment.timestamp() * 1000))
    return found


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
