"""What is wrong with a deployment, and what to do about it; nothing is changed, and no secret is told."""

from collections.abc import Iterator
from pathlib import Path

from api import config
from api.config import Config
from api.doctor import database, host
from api.doctor.finding import Finding, Verdict, wrong

__all__ = ["Finding", "Verdict", "examine"]


def examine(replicas: int) -> Iterator[Finding]:
    """All there is to find, the quickest first, where so many replicas share a database."""
    try:
        values = config.read()
    except config.ConfigError as error:
        yield from (wrong("settings", line) for line in str(error).splitlines())
        return
    if _is_new(values["database_url"].get_backend_name(), values["database_url"].database) or not values.keys() >= set(
        config.SECRETS
    ):
        yield wrong("settings", f"nothing is in {values['data_dir']} yet; run charter migrate")
        return
    settings = Config(**values)
    yield from host.examine(settings)
    yield from database.examine(settings, replicas * settings.workers)


def _is_new(backend: str, database: str) -> bool:
    # To connect would make it.
    return backend == "sqlite" and not Path(database).exists()
