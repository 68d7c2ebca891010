"""The `charter limits` commands: show and clear the budgets of a user or an address."""

# Each command imports only what it needs: importing everything takes a second, even for --help.
# ruff: noqa: PLC0415

from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

import click

from api.cli import support

if TYPE_CHECKING:
    from api.config import Config
    from api.contract import Policy
    from api.services.rate_limits import RateLimiter
    from api.storage.database import Database


class _Budget(NamedTuple):
    operation: str
    policy: "Policy"
    value: str


@click.group()
def limits() -> None:
    """Show and clear rate limits.

    SUBJECT is a username, an email, or the address of a client. A device that sends its device token has a
    budget of its own, which these commands do not show.
    """


@limits.command()
@click.argument("subject", metavar="SUBJECT")
def show(subject: str) -> None:
    """Show the remaining requests of a user or an address."""
    config = support.load_existing()
    with support.open_database(config, cannot="read") as database:
        limiter, budgets = _limiter(config, database), _budgets(config, database, subject)
        click.echo(_FORM.format("OPERATION", "POLICY", "OF", "REMAINING", "NEXT IN"))
        for operation, policy, value in budgets:
            state = limiter.state(operation, policy, value)
            left = f"{state.remaining} of {policy.quota}"
            wait = f"{state.seconds} s" if state.remaining < policy.quota else ""
            click.echo(_FORM.format(operation, policy.name, value, left, wait).rstrip())
        limiter.close()


@limits.command()
@click.argument("subject", metavar="SUBJECT")
def clear(subject: str) -> None:
    """Give a user or an address full budgets."""
    config = support.load_existing()
    with support.open_database(config, cannot="changed") as database:
        limiter = _limiter(config, database)
        count = limiter.clear(_budgets(config, database, subject))
        limiter.close()
    click.echo(f"{count} budgets of {subject} are full again. Processes notice within a second.")


_FORM = "{:18}{:14}{:26}{:14}{}"


def _limiter(config: "Config", database: "Database") -> "RateLimiter":
    from api.app import rate_limiter

    limiter = rate_limiter(config, database)
    limiter.open()
    return limiter


def _budgets(config: "Config", database: "Database", subject: str) -> list[_Budget]:
    """Return the budgets of a user under all names, or those of an address."""
    from api import contract
    from api.config.paths import resource_dir

    document = contract.with_overrides(contract.load(resource_dir("openapi")), config.limit_overrides)
    policies = [(operation.id, policy) for operation, found in contract.limited(document) for policy in found]
    if _is_address(subject):
        return [_Budget(name, policy, subject) for name, policy in policies if policy.by == "address"]
    names = _names(database, subject)
    return [
        _Budget(operation, policy, name)
        for operation, policy in policies
        for name in names
        if policy.member == "username"
    ]


def _names(database: "Database", subject: str) -> list[str]:
    from api.errors import NotFound
    from api.services import users

    with database.transaction() as db:
        try:
            user = users.get_by_name(db, subject)
        except NotFound:
            # Names of unknown users have budgets, too.
            return [subject]
        return [user.username, user.email]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
