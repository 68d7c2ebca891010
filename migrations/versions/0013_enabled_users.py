"""Add an index of the enabled users, so that their list does not read disabled ones."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_ENABLED = sa.text("disabled_at IS NULL")


def upgrade() -> None:
    op.create_index("ix_users_enabled", "users", ["id"], sqlite_where=_ENABLED, postgresql_where=_ENABLED)


def downgrade() -> None:
    op.drop_index("ix_users_enabled", "users")
