"""The commands `charter keys` and `charter users`: what whoever runs the service can do beside it, while it runs."""

# Each command imports what it needs: everything takes a second, which --help need not spend.
# ruff: noqa: PLC0415

from time import sleep
from typing import TYPE_CHECKING

import click

from api import console

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.database import Db
    from api.models import SealedKey, User
    from api.services.signing_keys import Keyring


@click.group()
def keys() -> None:
    """Look after the keys that sign access tokens.

    The next key is published before it signs, so that all who verify tokens know it in time.
    """


@keys.command("list")
def list_keys() -> None:
    """List the keys, the oldest first."""
    from api.services import signing_keys

    config = console.load()
    with console.transaction(config) as db:
        lines = [_line(row, console.keyring(config)) for row in signing_keys.list_all(db)]
    for line in (_FORM.format("ID", "ALGORITHM", "STATE", "CREATED", ""), *lines):
        click.echo(line.rstrip())


@keys.command()
def rotate() -> None:
    """Sign with the next key from now on, and make another next one.

    Tokens that were signed before stay good until they expire. Do it as often as you like.
    """
    from api.services import signing_keys

    config = console.load()
    with console.transaction(config) as db:
        row = signing_keys.rotate(db, console.keyring(config))
    while signing_keys.state(row) is signing_keys.State.NEXT:
        sleep(0.05)
    click.echo(f"{row.id} signs from now on.")


@keys.command()
@click.argument("key_id", metavar="ID")
def retire(key_id: str) -> None:
    """Refuse what a key signed, from now on: somebody else may have it.

    If it is the key that signs, the next one does from now on. Sessions stay: their next refresh gets a new token.
    """
    from api.errors import NotFound
    from api.services import signing_keys

    config = console.load()
    with console.transaction(config) as db:
        try:
            signing_keys.retire(db, console.keyring(config), key_id)
        except NotFound:
            raise click.ClickException(f"no key {key_id} is in use; charter keys list shows those that are") from None
    click.echo(f"{key_id} is retired.")


@click.group()
def users() -> None:
    """Shut users out, and let them in again."""


@users.command()
@click.argument("name")
def disable(name: str) -> None:
    """End all sessions of the user with this username or email; no log-in works."""
    from api.services import users

    click.echo(f"{_changed(users.disable, name)} is disabled.")


@users.command()
@click.argument("name")
def enable(name: str) -> None:
    """Let the user with this username or email log in again."""
    from api.services import users

    click.echo(f"{_changed(users.enable, name)} is enabled.")


def _changed(change: "Callable[[Db, str], User]", name: str) -> str:
    from api.errors import NotFound

    with console.transaction(console.load()) as db:
        try:
            return change(db, name).username
        except NotFound:
            raise click.ClickException(f"no user has the name {name}") from None


_FORM = "{:16}  {:9}  {:7}  {:24}  {}"


def _line(row: "SealedKey", keyring: "Keyring") -> str:
    from api import clock
    from api.services.signing_keys import State, state

    now = state(row)
    until = "" if row.retires_at is None else f"until {clock.rfc3339(row.retires_at)}"
    if now is State.ACTIVE and row.retires_at is None:
        until = "signs"
    if keyring.open(row) is None:
        until = "sealed under another CHARTER_SECRET"
    return _FORM.format(row.id, row.algorithm, now, clock.rfc3339(row.created_at), until)
