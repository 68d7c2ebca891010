"""The `charter events` command: list the audit log."""

# Each command imports only what it needs: importing everything takes a second, even for --help.
# ruff: noqa: PLC0415

from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from api.cli import support

if TYPE_CHECKING:
    from api.storage.database import Db


@click.group()
def events() -> None:
    """Read the audit log."""


@events.command("list")
@click.option("--user", help="Only events about the user with this username, email or id.")
@click.option("--event", help="Only events with this name, such as log_in_failed.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Number of events.")
def list_events(user: str | None, event: str | None, limit: int) -> None:
    """List the newest events, the newest first.

    An id also finds the events about a deleted user.
    """
    from api.services import events

    with support.transaction(support.load_existing()) as db:
        filters = events.Filters(None if user is None else _id_of(db, user), event)
        found = events.list_newest(db, filters, limit)
    if event is not None and not found:
        _check_event(event)
    click.echo(_FORM.format("TIME", "EVENT", "USER", "ACTOR", "FACTS"))
    for row in found:
        click.echo(_line(row))


def _id_of(db: "Db", user: str) -> UUID:
    from api.errors import NotFound
    from api.services import users

    try:
        return UUID(user)
    except ValueError:
        pass
    try:
        return users.get(db, user).id
    except NotFound:
        raise click.ClickException(f"no such user: {user}") from None


def _check_event(name: str) -> None:
    """End the command unless the contract has this event. The log may have events of earlier releases, too."""
    from difflib import get_close_matches

    from api import contract
    from api.config.paths import resource_dir

    known = contract.load(resource_dir("openapi")).document.get("x-events", {})
    if name not in known:
        nearest = get_close_matches(name, known, 1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(sorted(known))}"
        raise click.ClickException(f"no such event: {name}; {hint}")


_FORM = "{:24}  {:28}  {:36}  {:9}  {}"


def _line(row: Any) -> str:
    from api import clock

    facts = [f"{name}={value}" for name, value in row.facts.items()]
    if row.actor_id not in {None, row.user_id}:
        facts.append(f"actor_id={row.actor_id}")
    shown = _FORM.format(clock.rfc3339(row.at), row.event, str(row.user_id or "-"), row.actor, " ".join(facts))
    return shown.rstrip()
