"""The `charter keys` commands: list, rotate and retire the signing keys."""

# Each command imports only what it needs: importing everything takes a second, even for --help.
# ruff: noqa: PLC0415

from time import sleep
from typing import TYPE_CHECKING

import click

from api.cli import support

if TYPE_CHECKING:
    from api.services.signing_keys import Keyring, KeyRow


@click.group()
def keys() -> None:
    """Manage the keys that sign access tokens.

    The next key is published before it signs, so that services that verify tokens can load it in time.
    """


@keys.command("list")
def list_keys() -> None:
    """List the signing keys, the oldest first."""
    from api.services import signing_keys

    config = support.load_existing()
    with support.transaction(config) as db:
        lines = [_line(row, support.keyring(config)) for row in signing_keys.list_all(db)]
    for line in (_FORM.format("ID", "ALGORITHM", "STATE", "CREATED", "NOTE"), *lines):
        click.echo(line.rstrip())


@keys.command()
def rotate() -> None:
    """Start to sign with the next key, and create a new next key.

    Existing tokens stay valid until they expire. Rotate the keys once a month. Wait at least 5 minutes between two
    rotations, because services cache the published keys.
    """
    from api.services import signing_keys

    config = support.load_existing()
    with support.transaction(config) as db:
        row = signing_keys.rotate(db, support.keyring(config))
    if signing_keys.was_published_late(row):
        warning = "the key was published less than 5 minutes ago, so services that cache the keys may reject its tokens"
        click.echo(f"Warning: {warning} until then.", err=True)
    while signing_keys.state(row) is signing_keys.State.NEXT:
        sleep(0.05)
    click.echo(f"{row.id} is now the signing key.")


@keys.command()
@click.argument("key_id", metavar="ID")
def retire(key_id: str) -> None:
    """Reject all tokens that a key signed.

    Use this if the key may be stolen. If ID is the current signing key, the next key replaces it. Sessions continue:
    their next refresh issues a new token.
    """
    from api.errors import NotFound
    from api.services import signing_keys

    config = support.load_existing()
    with support.transaction(config) as db:
        try:
            signing_keys.retire(db, support.keyring(config), key_id)
        except NotFound:
            raise click.ClickException(f"key {key_id} is unknown or already retired; see charter keys list") from None
    click.echo(f"{key_id} is retired.")


_FORM = "{:16}  {:9}  {:7}  {:24}  {}"


def _line(row: "KeyRow", keyring: "Keyring") -> str:
    from api import clock
    from api.services.signing_keys import State, state

    now = state(row)
    until = "" if row.retires_at is None else f"until {clock.rfc3339(row.retires_at)}"
    if now is State.ACTIVE and row.retires_at is None:
        until = "signs"
    if keyring.open(row) is None:
        until = "encrypted with another CHARTER_SECRET"
    return _FORM.format(row.id, row.algorithm, now, clock.rfc3339(row.created_at), until)
