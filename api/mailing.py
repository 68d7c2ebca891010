"""The part of the composition root for mail: builds the outbox, the templates, the transport and the delivery."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from api.config import Config
from api.config.paths import resource_dir
from api.crypto.one_time_codes import OneTimeCodes
from api.services import (
    deletion,
    email_change,
    email_verification,
    notices,
    outbox,
    password_reset,
    sign_up,
    user_creation,
)
from api.services.outbox import Outbox
from api.storage.database import Database

if TYPE_CHECKING:
    from api.services.mail_delivery import Delivery, Prepare
    from api.services.mail_templates import Templates
    from api.services.mail_transport import FileTransport, SmtpTransport


def mail_delivery(
    config: Config, database: Database, service: str, on_outcome: Callable[[str, str], None] | None = None
) -> "Delivery":
    """Return the sender of mails. `on_outcome` gets the template and the outcome of each attempt."""
    from api.services.mail_delivery import Delivery  # noqa: PLC0415

    made = OneTimeCodes(config.secret)
    prepare: dict[str, Prepare] = {
        deletion.MAIL: partial(deletion.prepare, made),
        email_change.MAIL: partial(email_change.prepare_confirmation, made),
        email_verification.MAIL: partial(email_verification.prepare, made),
        notices.EMAIL_CHANGED: partial(email_change.prepare_notice, made),
        password_reset.MAIL: partial(password_reset.prepare, made),
        user_creation.MAIL: partial(user_creation.prepare, made),
        **dict.fromkeys(sign_up.MAILS, partial(sign_up.prepare, made)),
    }
    transport = mail_transport(config)
    return Delivery(database, mail_templates(config, service), transport, config.mail_sender, prepare, on_outcome)


def mail_transport(config: Config) -> "SmtpTransport | FileTransport":
    """Return the mail server, or else the folder of files."""
    from api.services.mail_transport import FileTransport, SmtpTransport  # noqa: PLC0415

    if config.smtp_url is None:
        return FileTransport(config.data_dir / "mail")
    return SmtpTransport(config.smtp_url, config.mail_sender)


def mail_templates(config: Config, service: str) -> "Templates":
    """Return the templates of mails."""
    from api.services.mail_templates import Templates  # noqa: PLC0415

    return Templates(resource_dir("mail"), config.mail_templates, config.locale, service, config.link_url)


def make_outbox(config: Config) -> Outbox:
    """Return the outbox for mails in the languages of the templates."""
    return Outbox(config.sends_mail, outbox.locales_of(template_folders(config), config.locale))


def template_folders(config: Config) -> list[Path]:
    """Return the folders with templates: that of the operator first, if there is one."""
    return [folder for folder in (config.mail_templates, resource_dir("mail")) if folder is not None]
