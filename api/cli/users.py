"""The `charter users` commands: disable and enable users."""

# Each command imports only what it needs: importing everything takes a second, even for --help.
# ruff: noqa: PLC0415

from typing import TYPE_CHECKING

import click

from api.cli import support

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.models import User
    from api.storage.database import Db


@click.group()
def users() -> None:
    """Disable and enable users."""


@users.command()
@click.argument("name")
def disable(name: str) -> None:
    """Disable the user with this username or email, and end all their sessions."""
    from api.services import users

    click.echo(f"{_changed(users.disable, name)} is disabled.")


@users.command()
@click.argument("name")
def enable(name: str) -> None:
    """Allow the user with this username or email to log in again."""
    from api.services import users

    click.echo(f"{_changed(users.enable, name)} is enabled.")


def _changed(change: "Callable[[Db, str], User]", name: str) -> str:
    from api.errors import NotFound

    with support.transaction(support.load()) as db:
        try:
            return change(db, name).username
        except NotFound:
            raise click.ClickException(f"no such user: {name}") from None
