"""Checks of a deployment, with advice for each problem. A check changes nothing and prints no secret."""

from collections.abc import Iterator

from api import config
from api.cli.doctor import database, host, mail, network
from api.cli.doctor.finding import Finding, Verdict, error

__all__ = ["Finding", "Verdict", "run_checks"]


def run_checks(replicas: int) -> Iterator[Finding]:
    """Yield a finding for each check, the quickest first, for this number of replicas on one database."""
    try:
        settings = config.load_existing()
    except config.ConfigError as cause:
        yield from (error("settings", line) for line in str(cause).splitlines())
        return
    yield from host.run_checks(settings)
    yield from network.run_checks(settings)
    yield from mail.run_checks(settings)
    yield from database.run_checks(settings, replicas * settings.workers)
