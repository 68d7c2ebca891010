"""Write a migration from the tables: `make migration NAME=notes`.

Alembic compares the tables in `api/models` with a fresh SQLite database at the newest revision. The difference becomes
the next file in `migrations/versions`. Triggers and changes of data must be added by hand, because Alembic does not
compare them.
"""

import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import DowngradeOps, MigrationScript, UpgradeOps
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL

from api import models
from api.config.paths import resource_dir
from api.storage import revisions
from api.storage.database import Database, UtcDateTime

_VERSIONS = resource_dir("migrations") / "versions"
_TEMPLATE = '''\
"""{title}."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{previous}"


def upgrade() -> None:
{upgrade}


def downgrade() -> None:
{downgrade}
'''


def main(name: str = "") -> None:
    """Write the migration and print its path. Exits with a message if the name is invalid or nothing has changed."""
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        sys.exit("NAME must be a name such as notes or user_locale: make migration NAME=notes")
    previous = revisions.head()
    revision = f"{int(previous) + 1:04}"
    with TemporaryDirectory() as temporary:
        upgrade, downgrade = _compare(Path(temporary) / "new.db")
    if upgrade.is_empty():
        remedy = "Change a table, or add it to api/models/__init__.py."
        sys.exit(f"The tables are the same as in migration {previous}. {remedy}")
    file = _VERSIONS / f"{revision}_{name}.py"
    title = name.replace("_", " ").capitalize()
    file.write_text(
        _TEMPLATE.format(
            title=title, revision=revision, previous=previous, upgrade=_render(upgrade), downgrade=_render(downgrade)
        )
    )
    written = file.relative_to(_VERSIONS.parent.parent)
    if fault := _format(file):
        file.unlink()
        sys.exit(f"Ruff rejects {written}, so the file is deleted: {fault}")
    print(f"Wrote {written}. Read it, then run the tests.")


def _format(file: Path) -> str:
    """Format a file and apply the fixes of the linter. Return the first fault that remains, or an empty text."""
    # Only the author can divide a long text, such as the comment of a column.
    check = ["check", "--ignore", "E501", "--output-format", "concise"]
    for command in ([*check, "--fix-only"], ["format"], check):
        result = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--quiet", file], check=False, capture_output=True, text=True
        )
        if result.returncode:
            return (result.stdout + result.stderr).strip().partition("\n")[0]
    return ""


def _compare(file: Path) -> tuple[UpgradeOps, DowngradeOps]:
    """Return the operations that turn the newest revision into the tables, and those that turn it back."""
    database = Database(URL.create("sqlite", database=str(file)))
    try:
        revisions.upgrade(database.engine)
        with database.engine.connect() as connection:
            options = {"include_object": partial(revisions.is_compared, "sqlite")}
            context = MigrationContext.configure(connection, opts=options)
            script: MigrationScript = produce_migrations(context, models.METADATA)
    finally:
        database.dispose()
    assert script.upgrade_ops is not None
    assert script.downgrade_ops is not None
    return script.upgrade_ops, script.downgrade_ops


def _render(operations: UpgradeOps | DowngradeOps) -> str:
    text = render_python_code(operations, render_item=_render_type)
    # Alembic marks its output with comments. The file is reviewed like any other.
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return "\n".join(f"    {line}" if line else "" for line in lines)


def _render_type(kind: str, item: object, context: AutogenContext) -> str | Literal[False]:
    """Render our own column type as the plain one, so that a migration does not change when the class does."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


if __name__ == "__main__":
    main(*sys.argv[1:])
