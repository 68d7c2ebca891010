"""The `charter mail` commands: list, retry, test and preview mails."""

# Each command imports only what it needs: importing everything takes a second, even for --help.
# ruff: noqa: PLC0415

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from api.cli import support

if TYPE_CHECKING:
    from api.config import Config
    from api.services.mail_templates import Templates
    from api.services.mail_transport import FileTransport, SmtpTransport
    from api.services.outbox import MailRow

_STATES = ("waiting", "sent", "dead")
_MOST = 1000
_SOON = "A running service sends within seconds, unless the mail server is down."
_FORM = "{:38}{:18}{:9}{:<10}{:21}{:26}  {}"


@click.group()
def mail() -> None:
    """List and retry mails, send a test mail, and preview mails."""


@mail.command("list")
@click.option(
    "--state", type=click.Choice(_STATES), default="waiting", show_default=True, help="The state of the mails."
)
def list_mails(state: str) -> None:
    """List up to 1,000 mails, the newest first."""
    from api.services import outbox

    config = support.load_existing()
    with support.transaction(config) as db:
        rows = outbox.list_newest(db, state, _MOST)
    for line in (_FORM.format("ID", "TEMPLATE", "STATE", "ATTEMPTS", "CREATED", "TO", "ERROR"), *map(_line, rows)):
        click.echo(line.rstrip())


@mail.command()
@click.argument("mail_id", metavar="[ID]", type=click.UUID, required=False)
@click.option("--dead", is_flag=True, help="Send all dead mails again.")
def retry(mail_id: UUID | None, dead: bool) -> None:
    """Send the dead mail ID again, or all dead mails."""
    from api.errors import MailNotDead, NotFound
    from api.services import outbox

    if dead is (mail_id is not None):
        raise click.UsageError("give either the ID of a mail or --dead")
    config = support.load_existing()
    if mail_id is None:
        click.echo(f"{_retry_all(config)} mails wait again. {_SOON}")
        return
    with support.transaction(config) as db:
        try:
            outbox.retry(db, mail_id)
        except (NotFound, MailNotDead):
            raise click.ClickException(
                f"no dead mail has the id {mail_id}; charter mail list --state dead lists them"
            ) from None
    click.echo(f"The mail waits again. {_SOON}")


def _retry_all(config: "Config") -> int:
    from api.services import outbox

    # A mail that dies again meanwhile is not retried twice.
    total, last = 0, UUID(int=0)
    while True:
        with support.transaction(config) as db:
            retried = outbox.retry_after(db, last)
        if not retried:
            return total
        total, last = total + len(retried), retried[-1]


@mail.command()
@click.argument("address")
def test(address: str) -> None:
    """Send a test mail to ADDRESS, and print the answer of the server."""
    from api.mailing import mail_transport
    from api.services import names
    from api.services.mail_transport import RetryLater, ServerUnavailable, Undeliverable

    config = support.load_existing()
    if not config.sends_mail:
        raise click.ClickException("CHARTER_SMTP_URL must be set")
    if not names.is_email(address):
        raise click.ClickException(f"not an email address: {address}")
    transport = mail_transport(config)
    try:
        answer = _send_sample(config, address, transport)
    except (ServerUnavailable, RetryLater, Undeliverable) as error:
        raise click.ClickException(
            f"{config.smtp_url or 'the folder of mails'!s} did not take the mail: {error}"
        ) from None
    finally:
        transport.close()
    click.echo(answer if config.smtp_url else f"Written to {answer}")


@mail.command()
@click.argument("name")
@click.option("--locale", help="The language. The default is CHARTER_LOCALE.")
@click.option("--html", is_flag=True, help="Print the HTML, not the text.")
def preview(name: str, locale: str | None, html: bool) -> None:
    """Print a mail with sample values.

    NAME is that of a template, such as reset_password.
    """
    from api import config, contract
    from api.config.paths import resource_dir
    from api.services.mail_templates import SAMPLES, BrokenTemplate

    if name not in SAMPLES:
        raise click.ClickException(f"no template is named {name}; there are {', '.join(SAMPLES)}")
    with support.friendly_errors(config.ConfigError):
        values = config.read()
    service = contract.load(resource_dir("openapi")).title
    templates = _templates(values["mail_templates"], values["locale"], values["link_url"], service)
    wanted = locale or values["locale"]
    if not {wanted, wanted.partition("-")[0]} & {*templates.locales}:
        raise click.ClickException(f"no templates are in {wanted}; there are {', '.join(templates.locales)}")
    with support.friendly_errors(BrokenTemplate):
        rendered = templates.render(name, wanted, SAMPLES[name])
    click.echo(rendered.html if html else f"{rendered.subject}\n\n{rendered.text}", nl=False)


def check_templates(own: Path | None, locale: str, link_url: str) -> None:
    """End the command if there are own templates of mails and one cannot be rendered, or if a language has none."""
    # The shipped templates are complete in English, so most installations need not import the library.
    if own is None and locale == "en":
        return
    from api.services.mail_templates import BrokenTemplate

    with support.friendly_errors(BrokenTemplate):
        _templates(own, locale, link_url, "Charter").check()


def _send_sample(config: "Config", address: str, transport: "SmtpTransport | FileTransport") -> str:
    from api import clock, contract
    from api.config.paths import resource_dir
    from api.mailing import mail_templates
    from api.services.mail_message import compose
    from api.services.outbox import MailRow, Prepared
    from api.storage.database import new_id

    now = clock.now()
    row = MailRow(new_id(), "test", None, address, config.locale, {}, "waiting", 1, now, now, None)
    templates = mail_templates(config, contract.load(resource_dir("openapi")).title)
    message = compose(templates, config.mail_sender, row, Prepared(address, {}))
    return transport.send(row.id, row.template, message)


def _line(row: "MailRow") -> str:
    from api.services import outbox

    created = f"{row.created_at:%Y-%m-%d %H:%M:%S}"
    values = row.template, row.state, row.attempts, created, outbox.masked(row.address) or "", row.error or ""
    return _FORM.format(str(row.id), *values)


def _templates(own: Path | None, locale: str, link_url: str, service: str) -> "Templates":
    from api.config.paths import resource_dir
    from api.services.mail_templates import Templates

    # api.app has the same, and would import the whole of Connexion.
    return Templates(resource_dir("mail"), own, locale, service, link_url)
