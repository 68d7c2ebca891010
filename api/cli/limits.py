"""The `charter limits` commands: show and clear the budgets of a user or an address."""

# Each command imports only what it needs: importing everything takes a second, even for --help.
# ruff: noqa: PLC0415

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from api.cli import support

if TYPE_CHECKING:
    from api.config import Config
    from api.contract import Policy
    from api.services.rate_limits import RateLimiter
    from api.storage.database import Database, Db


class _Budget(NamedTuple):
    """A budget: the value that has it, and the text that stands for the value in the output."""

    operation: str
    policy: "Policy"
    value: Any
    shown: str


@click.group()
def limits() -> None:
    """Show and clear rate limits.

    SUBJECT is a username, an email, or the address of a client. Known devices and places have budgets of their own,
    which these commands do not show.
    """


@limits.command()
@click.argument("subject")
def show(subject: str) -> None:
    """Show the remaining requests of a user or an address."""
    with _opened(subject, cannot="read") as (limiter, budgets):
        lines = [("OPERATION", "POLICY", "OF", "REMAINING", "NEXT IN")]
        for operation, policy, value, shown in budgets:
            state = limiter.state(operation, policy, value)
            left = f"{state.remaining} of {policy.quota}"
            wait = f"{state.seconds} s" if state.remaining < policy.quota else ""
            lines.append((operation, policy.name, shown, left, wait))
    widths = [max(map(len, column)) + 2 for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("".join(map(str.ljust, line, widths)).rstrip())


@limits.command()
@click.argument("subject")
def clear(subject: str) -> None:
    """Give a user or an address full budgets."""
    with _opened(subject, cannot="changed") as (limiter, budgets):
        count = limiter.clear([(operation, policy, value) for operation, policy, value, _ in budgets])
    click.echo(f"All budgets of {subject} are full. In use before: {count}. Processes notice within a second.")


@contextmanager
def _opened(subject: str, cannot: str) -> Iterator[tuple["RateLimiter", list[_Budget]]]:
    """Yield the limiter with the budgets of a subject. End the command if the limits are off or cannot be used."""
    from api.app import rate_limiter

    config = support.load_existing()
    with support.open_database(config, cannot=cannot) as database:
        budgets = _budgets(config, database, subject)
        if not budgets:
            raise click.ClickException("these rate limits are off; correct CHARTER_RATE_LIMITS to use them")
        limiter = rate_limiter(config, database)
        try:
            yield limiter, budgets
        finally:
            limiter.close()


def _budgets(config: "Config", database: "Database", subject: str) -> list[_Budget]:
    """Return the budgets of a user under all names, or those of an address."""
    from api import contract
    from api.config.paths import resource_dir

    with support.friendly_errors(contract.ContractError):
        document = contract.with_overrides(contract.load(resource_dir("openapi")), config.limit_overrides)
    with database.transaction() as db:
        support.require_current(db)
        subjects = _of_address(config, subject) if _is_address(subject) else _of_user(db, subject)
    return [
        _Budget(operation.id, policy, value, shown)
        for operation, policies in contract.limited(document)
        for policy in policies
        for by, value, shown in subjects
        if policy.by == by
    ]


def _of_address(config: "Config", subject: str) -> list[tuple[str, Any, str]]:
    """Return the kind of policy that counts an address, and the network that has the budget."""
    from api import contract

    return [("address", subject, contract.address_key(subject, config.ipv6_prefix))]


def _of_user(db: "Db", subject: str) -> list[tuple[str, Any, str]]:
    """Return the kinds of policies that count a user, with the names that have the budgets."""
    from api.errors import NotFound
    from api.services import users
    from api.services.user_budgets import subjects_of

    try:
        user = users.get(db, subject)
    except NotFound:
        # Names of unknown users have budgets, too.
        click.echo(f"Warning: no such user: {subject}", err=True)
        kinds = ("body.username", "body.email") if "@" in subject else ("body.username",)
        return [(kind, subject, subject) for kind in kinds]
    return subjects_of(user)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
