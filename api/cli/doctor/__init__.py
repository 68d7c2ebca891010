"""Checks of a deployment, with advice for each problem. A check changes nothing and prints no secret."""

from collections.abc import Iterator
from pathlib import Path

from api import config
from api.cli.doctor import database, host
from api.cli.doctor.finding import Finding, Verdict, error
from api.config import Config

__all__ = ["Finding", "Verdict", "run_checks"]


def run_checks(replicas: int) -> Iterator[Finding]:
    """Yield a finding for each check, the quickest first, for this number of replicas on one database."""
    try:
        values = config.read()
    except config.ConfigError as cause:
        yield from (error("settings", line) for line in str(cause).splitlines())
        return
    if _is_new(values["database_url"].get_backend_name(), values["database_url"].database) or not values.keys() >= set(
        config.SECRETS
    ):
        yield error("settings", f"{values['data_dir']} is not set up yet; run charter migrate")
        return
    settings = Config(**values)
    yield from host.run_checks(settings)
    yield from database.run_checks(settings, replicas * settings.workers)


def _is_new(backend: str, database: str) -> bool:
    # Connecting would create the file.
    return backend == "sqlite" and not Path(database).exists()
