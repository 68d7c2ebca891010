"""The database's schema: which revision this release needs, and the way there."""

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from api.config import folder


def head() -> str:
    """The revision that this release needs."""
    return str(ScriptDirectory.from_config(_alembic()).get_current_head())


def upgrade(engine: Engine) -> None:
    """Bring the database to `head`; one that is there already is left alone."""
    with engine.begin() as connection:
        alembic = _alembic()
        alembic.attributes["connection"] = connection
        command.upgrade(alembic, "head")


def _alembic() -> AlembicConfig:
    alembic = AlembicConfig()
    alembic.set_main_option("script_location", str(folder("migrations")).replace("%", "%%"))
    return alembic
