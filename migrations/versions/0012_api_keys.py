"""Add API keys. Processes cache a key with its user, so triggers record the changes of both."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_MOMENT = sa.DateTime(timezone=True)
_SHOWN = "username, email, created_at, disabled_at, email_verified_at, pending_email, display_name, locale, role"
_SESSIONS = "SELECT 'sessions', id FROM sessions WHERE user_id = OLD.id"
_BOTH = _SESSIONS + " UNION ALL SELECT 'api_keys', id FROM api_keys WHERE user_id = OLD.id"  # noqa: S608 - constants


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("hint", sa.String(32), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("last_used_at", _MOMENT, nullable=True),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 80", name=op.f("ck_api_keys_name_length")),
        sa.CheckConstraint("length(hint) BETWEEN 1 AND 32", name=op.f("ck_api_keys_hint_length")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_keys_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
    )
    op.create_index("ix_api_keys_user_id_id", "api_keys", ["user_id", "id"])
    op.create_index("ix_api_keys_expires_at", "api_keys", ["expires_at"])
    for statement in _CREATE[op.get_bind().dialect.name]:
        op.execute(statement)
    _replace_users_triggers(with_keys=True)


def downgrade() -> None:
    _replace_users_triggers(with_keys=False)
    # The triggers of a table end with it.
    op.drop_table("api_keys")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION note_key")


def _replace_users_triggers(*, with_keys: bool) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_NOTE_BOTH if with_keys else _NOTE_SESSIONS)
        return
    for name, when in (("users_delete", "DELETE ON users"), ("users_update", f"UPDATE OF {_SHOWN} ON users")):
        op.execute(f"DROP TRIGGER {name}")
        op.execute(_noting(name, when, _BOTH if with_keys else _SESSIONS))


def _noting(name: str, when: str, notes: str) -> str:
    return f"""
        CREATE TRIGGER {name} AFTER {when} BEGIN
            INSERT INTO changes (topic, subject) {notes};
            DELETE FROM changes WHERE id <= (SELECT max(id) FROM changes) - 10000;
        END"""  # noqa: S608 - all parts are constants


_NOTE_SESSIONS = """
        CREATE OR REPLACE FUNCTION note_user() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM pg_notify('charter', 'sessions ' || replace(id::text, '-', ''))
            FROM sessions WHERE user_id = OLD.id;
            RETURN NULL;
        END $$"""
_NOTE_BOTH = """
        CREATE OR REPLACE FUNCTION note_user() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM pg_notify('charter', topic || ' ' || replace(id::text, '-', '')) FROM
            (SELECT 'sessions' AS topic, id FROM sessions WHERE user_id = OLD.id
            UNION ALL SELECT 'api_keys', id FROM api_keys WHERE user_id = OLD.id) AS cached;
            RETURN NULL;
        END $$"""
_CREATE = {
    "sqlite": [
        _noting(
            "api_keys_delete",
            "DELETE ON api_keys WHEN OLD.expires_at > strftime('%Y-%m-%d %H:%M:%f', 'now', '-30 minutes')",
            "SELECT 'api_keys', OLD.id",
        ),
        _noting("api_keys_update", "UPDATE OF scopes, expires_at ON api_keys", "SELECT 'api_keys', OLD.id"),
    ],
    "postgresql": [
        """
        CREATE FUNCTION note_key() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM pg_notify('charter', 'api_keys ' || replace(OLD.id::text, '-', ''));
            RETURN NULL;
        END $$""",
        "CREATE TRIGGER api_keys_delete AFTER DELETE ON api_keys FOR EACH ROW "
        "WHEN (OLD.expires_at > now() - interval '30 minutes') EXECUTE FUNCTION note_key()",
        "CREATE TRIGGER api_keys_update AFTER UPDATE OF scopes, expires_at ON api_keys FOR EACH ROW "
        "EXECUTE FUNCTION note_key()",
        "CREATE TRIGGER api_keys_truncate AFTER TRUNCATE ON api_keys EXECUTE FUNCTION note_table()",
    ],
}
