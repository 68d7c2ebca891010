"""Sessions with refresh tokens, signing keys, disabled users and the change feed.

Revocations are dropped: their tokens were signed with the secret itself, and all of these tokens are now rejected.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.drop_table("revocations")
    op.add_column("users", sa.Column("disabled_at", _MOMENT))
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("family", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("last_used_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("ip_address", sa.String(45), nullable=False),
        sa.Column("user_agent", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id", ondelete="CASCADE"),
        sa.UniqueConstraint("family", name="uq_sessions_family"),
        sa.CheckConstraint("length(ip_address) BETWEEN 0 AND 45", name=op.f("ck_sessions_ip_address_length")),
        sa.CheckConstraint("length(user_agent) BETWEEN 0 AND 255", name=op.f("ck_sessions_user_agent_length")),
    )
    op.create_index("ix_sessions_user_id_id", "sessions", ["user_id", "id"])
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
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
    op.create_table(
        "signing_keys",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("algorithm", sa.String(16), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("activated_at", _MOMENT),
        sa.Column("retires_at", _MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_signing_keys"),
    )
    op.create_table(
        "changes",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("topic", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_changes"),
        sqlite_autoincrement=True,
    )
    for statement in _TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DROPS[op.get_bind().dialect.name]:
        op.execute(statement)
    for name in ("refresh_tokens", "sessions", "signing_keys", "changes"):
        op.drop_table(name)
    op.drop_column("users", "disabled_at")
    op.create_table(
        "revocations",
        sa.Column("session_id", sa.Uuid, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("session_id", name="pk_revocations"),
    )
    op.create_index("ix_revocations_expires_at", "revocations", ["expires_at"])


def _noting(name: str, when: str, notes: str) -> str:
    return f"""
        CREATE TRIGGER {name} AFTER {when} BEGIN
            INSERT INTO changes (topic, subject) {notes};
            DELETE FROM changes WHERE id <= (SELECT max(id) FROM changes) - 10000;
        END"""  # noqa: S608 - all parts are constants


def _sending(name: str, note: str) -> str:
    return f"""
        CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM {note};
            RETURN NULL;
        END $$"""


_THIS = "SELECT 'sessions', OLD.id"
_OF_USER = "SELECT 'sessions', id FROM sessions WHERE user_id = OLD.id"
_TRIGGERS = {
    "sqlite": [
        _noting("sessions_delete", "DELETE ON sessions", _THIS),
        _noting("sessions_update", "UPDATE ON sessions WHEN NEW.expires_at < OLD.expires_at", _THIS),
        _noting("users_delete", "DELETE ON users", _OF_USER),
        _noting("users_update", "UPDATE OF disabled_at ON users", _OF_USER),
        *(
            _noting(f"signing_keys_{event}", f"{event} ON signing_keys", "SELECT 'signing_keys', ''")
            for event in ("insert", "update", "delete")
        ),
    ],
    "postgresql": [
        _sending("note_session", "pg_notify('charter', 'sessions ' || replace(OLD.id::text, '-', ''))"),
        _sending(
            "note_user",
            "pg_notify('charter', 'sessions ' || replace(id::text, '-', '')) FROM sessions WHERE user_id = OLD.id",
        ),
        _sending("note_table", "pg_notify('charter', TG_TABLE_NAME || ' ')"),
        "CREATE TRIGGER sessions_delete AFTER DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION note_session()",
        "CREATE TRIGGER sessions_update AFTER UPDATE ON sessions FOR EACH ROW "
        "WHEN (NEW.expires_at < OLD.expires_at) EXECUTE FUNCTION note_session()",
        "CREATE TRIGGER sessions_truncate AFTER TRUNCATE ON sessions EXECUTE FUNCTION note_table()",
        "CREATE TRIGGER users_update AFTER UPDATE OF disabled_at ON users FOR EACH ROW EXECUTE FUNCTION note_user()",
        "CREATE TRIGGER signing_keys_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON signing_keys "
        "EXECUTE FUNCTION note_table()",
    ],
}
# A dropped table takes its triggers with it.
_DROPS = {
    "sqlite": ["DROP TRIGGER users_delete", "DROP TRIGGER users_update"],
    "postgresql": ["DROP FUNCTION note_session, note_user, note_table CASCADE"],
}
