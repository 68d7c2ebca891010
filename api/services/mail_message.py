"""The message of a mail: its headers, a text and an HTML page (RFC 5322, RFC 2046)."""

from contextlib import suppress
from datetime import UTC
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

from email_validator import EmailNotValidError, validate_email

from api.services.mail_templates import Templates
from api.services.mail_transport import Undeliverable
from api.services.outbox import MailRow, Prepared


def compose(templates: Templates, sender: str, row: MailRow, prepared: Prepared) -> EmailMessage:
    """Return the message of a mail.

    Raises BrokenTemplate if its templates cannot be rendered, and Undeliverable if a header cannot contain its address.

    Its `Message-ID` is the same at each attempt, so that receivers can recognize a second copy.
    """
    time = row.created_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    rendered = templates.render(row.template, row.locale, {"time": time, **prepared.facts})
    name, address = parseaddr(sender)
    message = EmailMessage()
    message["From"] = Address(name, addr_spec=address)
    _add_reader(message, _for_smtp(prepared.address))
    message["Subject"] = rendered.subject
    message["Date"] = format_datetime(row.created_at)
    message["Message-ID"] = f"<{row.id}@{address.rpartition('@')[2]}>"
    # RFC 3834, section 5, and its counterpart of Microsoft Exchange: no automatic replies.
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(rendered.text)
    message.add_alternative(rendered.html, subtype="html")
    # The alternatives take over the headers of the content that existed before.
    message["Content-Language"] = row.locale
    return message


def _for_smtp(address: str) -> str:
    """Return an address with the A-label of its domain, which every server accepts. Raises Undeliverable."""
    try:
        found = validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise Undeliverable("the address is not valid") from None
    return f"{found.local_part}@{found.ascii_domain}"


def _add_reader(message: EmailMessage, address: str) -> None:
    """Add the header `To`. Raises Undeliverable if it would not contain the address."""
    # The library decodes encoded words (RFC 2047), although an address has none.
    with suppress(ValueError):
        message["To"] = address
    if message["To"] != address:
        raise Undeliverable("a header cannot contain this address")
