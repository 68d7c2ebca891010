"""Add what the life of an account needs: verified and pending emails, profiles, deletion, step-up and known places.

One-time codes get the address that they were sent to, and may belong to an address without a user. The table is created
anew, because a code lives for an hour at most: a mail on its way needs another request.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_MOMENT = sa.DateTime(timezone=True)
_DELETES = sa.text("deletes_at IS NOT NULL")
_SHOWN = "username, email, created_at, disabled_at"
_ADDED: dict[str, sa.types.TypeEngine[Any]] = {
    "email_verified_at": _MOMENT,
    "pending_email": sa.String(254),
    "display_name": sa.String(80),
    "locale": sa.String(16),
    "deletes_at": _MOMENT,
}
_LENGTHS = {
    "pending_email": "length(pending_email) BETWEEN 3 AND 254",
    "display_name": "length(display_name) BETWEEN 1 AND 80",
    "locale": "length(locale) BETWEEN 2 AND 16",
}


def upgrade() -> None:
    _drop_triggers()
    for name, kind in _ADDED.items():
        rules = [sa.CheckConstraint(_LENGTHS[name], name=op.f(f"ck_users_{name}_length"))] if name in _LENGTHS else []
        op.add_column("users", sa.Column(name, kind, *rules, nullable=True))
    op.create_index("ix_users_deletes_at", "users", ["deletes_at"], sqlite_where=_DELETES, postgresql_where=_DELETES)
    op.add_column("sessions", sa.Column("authenticated_at", _MOMENT, nullable=True))
    _create_triggers(f"{_SHOWN}, email_verified_at, pending_email, display_name, locale", _AUTHENTICATED)
    op.drop_table("codes")
    _create_codes(sa.Column("email", sa.String(254), nullable=False), user_nullable=True)
    op.create_index("ix_codes_email_key_purpose", "codes", ["email_key", "purpose"])
    op.create_table(
        "known_places",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(16), nullable=False),
        sa.Column("seen_at", _MOMENT, nullable=False),
        sa.Column("noticed_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_known_places_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "digest", name="pk_known_places"),
    )
    op.create_table(
        "retired_names",
        sa.Column("key", sa.String(80), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("until", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_retired_names_user_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("key", name="pk_retired_names"),
    )
    op.create_index("ix_retired_names_user_id", "retired_names", ["user_id"])
    op.create_index("ix_retired_names_until", "retired_names", ["until"])
    op.create_index("ix_outbox_user_id", "outbox", ["user_id"])


def downgrade() -> None:
    op.drop_index("ix_outbox_user_id", "outbox")
    op.drop_table("retired_names")
    op.drop_table("known_places")
    op.drop_table("codes")
    _create_codes(user_nullable=False)
    _drop_triggers()
    op.drop_column("sessions", "authenticated_at")
    op.drop_index("ix_users_deletes_at", "users")
    for name in _ADDED:
        op.drop_column("users", name)
    _create_triggers(_SHOWN, "")


def _create_codes(*added: sa.Column[Any], user_nullable: bool) -> None:
    op.create_table(
        "codes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=user_nullable),
        *added,
        sa.Column("email_key", sa.String(254), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_codes_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_codes"),
        sa.UniqueConstraint("digest", name="uq_codes_digest"),
    )
    op.create_index("ix_codes_user_id_purpose", "codes", ["user_id", "purpose"])
    op.create_index("ix_codes_expires_at", "codes", ["expires_at"])


def _drop_triggers() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    for name, table in (("users_update", "users"), ("sessions_update", "sessions")):
        op.execute(f"DROP TRIGGER {name} ON {table}" if postgresql else f"DROP TRIGGER {name}")


def _create_triggers(shown: str, authenticated: str) -> None:
    for statement in _CREATE[op.get_bind().dialect.name]:
        op.execute(statement.format(shown=shown, authenticated=authenticated))


_AUTHENTICATED = " OR coalesce(NEW.authenticated_at, NEW.created_at) > coalesce(OLD.authenticated_at, OLD.created_at)"
_CREATE = {
    "sqlite": [
        """
        CREATE TRIGGER users_update AFTER UPDATE OF {shown} ON users BEGIN
            INSERT INTO changes (topic, subject) SELECT 'sessions', id FROM sessions WHERE user_id = OLD.id;
            DELETE FROM changes WHERE id <= (SELECT max(id) FROM changes) - 10000;
        END""",
        """
        CREATE TRIGGER sessions_update AFTER UPDATE ON sessions
        WHEN NEW.expires_at < OLD.expires_at{authenticated} BEGIN
            INSERT INTO changes (topic, subject) SELECT 'sessions', OLD.id;
            DELETE FROM changes WHERE id <= (SELECT max(id) FROM changes) - 10000;
        END""",
    ],
    "postgresql": [
        "CREATE TRIGGER users_update AFTER UPDATE OF {shown} ON users FOR EACH ROW EXECUTE FUNCTION note_user()",
        "CREATE TRIGGER sessions_update AFTER UPDATE ON sessions FOR EACH ROW "
        "WHEN (NEW.expires_at < OLD.expires_at{authenticated}) EXECUTE FUNCTION note_session()",
    ],
}
