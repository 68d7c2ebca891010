"""Compare the domains of emails by A-label (IDNA 2008).

The keys were case-folded as a whole, which changes two letters that a domain can have: ß and the final sigma. Their
domains get keys of their own. Processes of release 0.2.0 find the changed users only by username. The downgrade fails
if two users have emails that differ only in such a letter.
"""

import unicodedata
from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_users = sa.table("users", sa.column("id", sa.Uuid), sa.column("email", sa.Text), sa.column("email_key", sa.Text))


def upgrade() -> None:
    _rewrite(lambda local, domain: f"{_canonical(local)}@{domain}")


def downgrade() -> None:
    _rewrite(lambda local, domain: _canonical(f"{local}@{domain}"))


def _rewrite(key_of: Callable[[str, str], str]) -> None:
    affected = sa.or_(_users.c.email.contains("ß"), _users.c.email.contains("ς"))
    for row in op.get_bind().execute(sa.select(_users).where(affected)).all():
        local, _, domain = row.email.rpartition("@")
        key = key_of(local, domain)
        if key != row.email_key:
            op.execute(sa.update(_users).where(_users.c.id == row.id).values(email_key=key))


def _canonical(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()
