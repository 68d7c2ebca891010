"""The `charter services` commands: create, list, rotate, disable, enable and delete service accounts."""

# Each command imports only what it needs: importing everything takes a second, even for --help.
# ruff: noqa: PLC0415

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from api.cli import support

if TYPE_CHECKING:
    from uuid import UUID

    from api.config import Config
    from api.services.service_accounts import NewSecret
    from api.storage.database import Db

_PAGE = 1000
_MAX_OVERLAP_SECONDS = 604_800
_FORM = "{:24}  {:8}  {:36}  {:24}  {}"


@click.group()
def services() -> None:
    """Manage the accounts of other services.

    NAME is the name of a service account.
    """


@services.command()
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, help="A scope of its tokens. Repeat it for several.")
def create(name: str, scopes: tuple[str, ...]) -> None:
    """Create a service account, and print its credentials once."""
    from api.errors import ServiceNameTaken
    from api.services import service_accounts

    config = support.load_existing()
    _check(name, scopes)
    try:
        with support.transaction(config) as db:
            made = service_accounts.create(db, name, scopes, config.key_prefix)
    except ServiceNameTaken as error:
        raise click.ClickException(error.message) from None
    _print_credentials(made)


@services.command("list")
def list_services() -> None:
    """List all service accounts, the newest first."""
    from api.services import service_accounts

    config, last = support.load_existing(), None
    heading = [_FORM.format("CREATED", "STATE", "CLIENT ID", "NAME", "SCOPES")]
    while True:
        with support.transaction(config) as db:
            page = service_accounts.list_before(db, last, _PAGE)
        for line in (*heading, *map(_line, page)):
            click.echo(line)
        heading = []
        if len(page) < _PAGE:
            return
        last = page[-1]["client_id"]


@services.command()
@click.argument("name")
@click.option(
    "--overlap",
    type=click.IntRange(0, _MAX_OVERLAP_SECONDS),
    default=0,
    show_default=True,
    help="Seconds for which the current secret stays valid.",
)
def rotate(name: str, overlap: int) -> None:
    """Replace the secret of a service account, and print the new credentials once."""
    from api.services import service_accounts

    config = support.load_existing()
    with _account(config, name) as (db, service_id):
        made = service_accounts.rotate(db, service_id, timedelta(seconds=overlap), config.key_prefix)
    _print_credentials(made)


@services.command()
@click.argument("name")
def disable(name: str) -> None:
    """Reject the secrets and the tokens of a service account."""
    _change_state(name, enabled=False)


@services.command()
@click.argument("name")
def enable(name: str) -> None:
    """Accept the secrets and the tokens of a service account again."""
    _change_state(name, enabled=True)


@services.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask before the deletion.")
def delete(name: str, yes: bool) -> None:
    """Delete a service account with its secrets."""
    from api.services import service_accounts

    config = support.load_existing()
    if not yes:
        with _account(config, name):
            pass
        otherwise = f"run charter services delete {name} --yes to delete the service account without a prompt"
        support.confirm(f"Delete the service account {name} and its secrets?", otherwise)
    with _account(config, name) as (db, service_id):
        service_accounts.delete_account(db, service_id)
    click.echo(f"{name} is deleted.")


def _change_state(name: str, *, enabled: bool) -> None:
    from api.services import service_accounts

    with _account(support.load_existing(), name) as (db, service_id):
        service_accounts.change_state(db, service_id, enabled=enabled)
    click.echo(f"{name} is {'enabled' if enabled else 'disabled'}.")


@contextmanager
def _account(config: "Config", name: str) -> Iterator["tuple[Db, UUID]"]:
    """Yield a transaction and the id of a service account. End the command if it is unknown."""
    from api.errors import NotFound
    from api.services import service_accounts

    try:
        with support.transaction(config) as db:
            yield db, service_accounts.get_by_name(db, name)
    except NotFound:
        raise click.ClickException(f"no such service account: {name}") from None


def _check(name: str, scopes: tuple[str, ...]) -> None:
    """End the command unless the values have the form that the contract requires."""
    from api import contract
    from api.app import formats
    from api.config.paths import resource_dir

    document = contract.load(resource_dir("openapi"))
    values = {"name": name, "scopes": [*scopes]}
    if faults := contract.faults_of_properties(document, "NewServiceAccount", values, formats(document.title)):
        lines = [f"{fault.pointer.removeprefix('/body/')}: {fault.detail}" for fault in faults]
        raise click.ClickException("\n       ".join(lines))


def _print_credentials(made: "NewSecret") -> None:
    click.echo(f"client_id      {made.client_id}")
    click.echo(f"client_secret  {made.client_secret}")
    click.echo("The secret is not shown again.", err=True)


def _line(account: dict[str, Any]) -> str:
    from api import clock

    state = "disabled" if account["disabled"] else "enabled"
    moment, scopes = clock.rfc3339(account["created_at"]), " ".join(account["scopes"])
    return _FORM.format(moment, state, str(account["client_id"]), account["name"], scopes)
