"""The `charter users` commands: list, show, create, invite, change, disable, enable and delete users."""

# Each command imports only what it needs: importing everything takes a second, even for --help.
# ruff: noqa: PLC0415

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from api.cli import support

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.config import Config
    from api.crypto.password_hasher import PasswordHasher
    from api.errors import Fault
    from api.models.user import UserRow
    from api.storage.database import Db

_PAGE = 1000
# The longest valid password needs 512 bytes.
_MOST_BYTES = 4096


@click.group()
def users() -> None:
    """Manage the users.

    NAME is a username or an email. The commands create and set-password ask for the password. Without a terminal, they
    read it from standard input.
    """


@users.command("list")
def list_users() -> None:
    """List all users, the oldest first."""
    from api.services import users

    config, last = support.load_existing(), None
    heading = [_FORM.format("CREATED", "STATE", "ROLE", "USERNAME", "EMAIL")]
    while True:
        with support.transaction(config) as db:
            page = users.list_after(db, last, _PAGE)
        for line in (*heading, *map(_line, page)):
            click.echo(line)
        heading = []
        if len(page) < _PAGE:
            return
        last = page[-1].id


@users.command()
@click.argument("name")
def show(name: str) -> None:
    """Show the user with this username or email."""
    from api import clock
    from api.services import users

    with support.transaction(support.load_existing()) as db, _known(name):
        user = users.get(db, name)
        sessions = users.count_sessions(db, user.id)
    facts = {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "role": user.role,
        "verified": "yes" if user.email_verified_at else "no",
        "created": _time(user),
        "state": _state(user),
        **({"deletion": clock.rfc3339(user.deletes_at)} if user.deletes_at else {}),
    }
    for label, fact in (facts | {"sessions": sessions}).items():
        click.echo(f"{label:10}{fact}")


@users.command()
@click.argument("username")
@click.argument("email")
@click.option(
    "--role",
    default="user",
    show_default=True,
    help="A role of the contract, such as admin. The error for an unknown role lists all.",
)
def create(username: str, email: str, role: str) -> None:
    """Create a user, with the rules of a sign-up."""
    from api.services import users

    config = support.load_existing()
    _check_role(role)
    password = _read_password()
    _check(username=username, email=email, password=password)
    with support.transaction(config) as db, _accepted():
        user = users.create(db, _hasher(config), username, email, password, role)
    click.echo(f"{user.username} is created.")


@users.command("role")
@click.argument("name")
@click.argument("role")
def change_role(name: str, role: str) -> None:
    """Give a user another ROLE, such as admin, support or user.

    Scopes that the role lacks are gone at once. The user's next access token has the scopes that it adds.
    """
    from api.services import roles, users

    config = support.load_existing()
    _check_role(role)
    with support.transaction(config) as db, _known(name), _admin_left(name):
        user = users.get(db, name)
        roles.change(db, user.id, role)
    click.echo(f"{user.username} has the role {role}.")


@users.command()
@click.argument("email")
@click.option("--locale", help="The language of the mail. The default is CHARTER_LOCALE.")
def invite(email: str, locale: str | None) -> None:
    """Invite the reader of EMAIL to create a user, also if sign-up is closed.

    The code in the mail works once, for 7 days. If a user has the email, that user gets another mail instead.
    """
    from api.mailing import make_outbox
    from api.services import sign_up

    config = support.load_existing()
    if not config.sends_mail:
        raise click.ClickException("CHARTER_SMTP_URL must be set, because the invitation is a mail")
    _check(email=email)
    outbox = make_outbox(config)
    if locale and not {locale, locale.partition("-")[0]} & {*outbox.locales}:
        raise click.ClickException(f"no templates are in {locale}; there are {', '.join(outbox.locales)}")
    with support.transaction(config) as db:
        sign_up.invite(db, outbox, email, locale)
    click.echo(f"A mail to {email} waits. A running service sends it within seconds, unless the mail server is down.")


@users.command()
@click.argument("name")
def set_password(name: str) -> None:
    """Set the password of a user, and end all their sessions."""
    from api.mailing import make_outbox
    from api.services import credentials

    config = support.load_existing()
    password = _read_password()
    _check(password=password)
    with support.transaction(config) as db, _known(name), _accepted():
        user = credentials.set_password(db, _hasher(config), make_outbox(config), name, password)
    click.echo(f"{user.username} has a new password.")


@users.command()
@click.argument("name")
def disable(name: str) -> None:
    """Disable the user with this username or email, and end all their sessions.

    This cancels a deletion that the user has requested.
    """
    from api.services import users

    click.echo(f"{_changed(users.disable, name)} is disabled.")


@users.command()
@click.argument("name")
def enable(name: str) -> None:
    """Allow the user with this username or email to log in again.

    This cancels a deletion that the user has requested.
    """
    from api.services import users

    click.echo(f"{_changed(users.enable, name)} is enabled.")


@users.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask before the deletion.")
def delete(name: str, yes: bool) -> None:
    """Delete the user with this username or email, with all their data, at once.

    The user gets a mail. The username stays reserved for CHARTER_NAME_DAYS.
    """
    from api.app import deletion_rules
    from api.mailing import make_outbox
    from api.services import deletion

    config = support.load_existing()
    if not yes:
        _confirm_deletion(config, name)
    blocked = support.friendly_errors(deletion.DeletionBlocked)
    with blocked, support.transaction(config) as db, _known(name), _admin_left(name):
        user = deletion.delete_now(db, make_outbox(config), deletion_rules(config).name_stay, name)
    click.echo(f"{user.username} is deleted.")


def _confirm_deletion(config: "Config", name: str) -> None:
    """Ask before the deletion, and show which user the name belongs to."""
    from api.services import users

    with support.transaction(config) as db, _known(name):
        user = users.get(db, name)
    otherwise = f"run charter users delete {name} --yes to delete the user without a prompt"
    support.confirm(f"Delete {user.username} ({user.email}) and all their data?", otherwise)


def _changed(change: "Callable[[Db, str], UserRow]", name: str) -> str:
    with support.transaction(support.load_existing()) as db, _known(name), _admin_left(name):
        return change(db, name).username


@contextmanager
def _known(name: str) -> Iterator[None]:
    """Report an unknown user as an error message."""
    from api.errors import NotFound

    try:
        yield
    except NotFound:
        raise click.ClickException(f"no such user: {name}") from None


@contextmanager
def _admin_left(name: str) -> Iterator[None]:
    """Report a change after which no enabled admin would remain as an error message."""
    from api.errors import LastAdmin

    try:
        yield
    except LastAdmin:
        raise click.ClickException(
            f"{name} is the only admin; make another user an admin first: charter users role NAME admin"
        ) from None


@contextmanager
def _accepted() -> Iterator[None]:
    """Report the errors of a sign-up as an error message."""
    from api.errors import Conflict

    try:
        yield
    except Conflict as error:
        raise click.ClickException(error.message) from None


def _check(**values: str) -> None:
    """End the command unless the values have the form that a sign-up requires."""
    from api import contract
    from api.app import formats
    from api.config.paths import resource_dir

    document = contract.load(resource_dir("openapi"))
    if faults := contract.faults_of_properties(document, "NewUser", values, formats(document.title)):
        raise _rejection(faults)


def _check_role(role: str) -> None:
    """End the command unless the contract has this role."""
    from api import contract
    from api.config.paths import resource_dir

    roles = contract.load(resource_dir("openapi")).roles
    if role not in roles:
        raise click.ClickException(f"no such role: {role}; there are {', '.join(sorted(roles))}")


def _rejection(faults: "list[Fault]") -> click.ClickException:
    lines = [f"{fault.pointer.rpartition('/')[2]}: {fault.detail}" for fault in faults]
    return click.ClickException("\n       ".join(lines))


def _read_password() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    try:
        return sys.stdin.buffer.read(_MOST_BYTES).decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise click.ClickException("the password must be valid UTF-8") from None


def _hasher(config: "Config") -> "PasswordHasher":
    from api.crypto.password_hasher import PasswordHasher

    return PasswordHasher(config.pepper, config.bcrypt_cost, lambda work: work())


_FORM = "{:24}  {:8}  {:8}  {:20}  {}"


def _line(user: "UserRow") -> str:
    return _FORM.format(_time(user), _state(user), user.role, user.username, user.email)


def _time(user: "UserRow") -> str:
    from api import clock

    return clock.rfc3339(user.created_at)


def _state(user: "UserRow") -> str:
    if user.deletes_at:
        return "deleting"
    return "disabled" if user.disabled_at else "enabled"
