"""Checks of the mail server and the templates."""

from collections.abc import Iterator

from api import mailing
from api.cli.doctor.finding import Finding, error, ok
from api.config import Config
from api.services.mail_templates import BrokenTemplate
from api.services.mail_transport import ServerUnavailable, SmtpTransport


def run_checks(settings: Config) -> Iterator[Finding]:
    """Yield a finding for the mail server, and one for the templates if there are own ones."""
    yield _server(settings)
    if settings.mail_templates is not None:
        yield _templates(settings)


def _server(settings: Config) -> Finding:
    transport = mailing.mail_transport(settings)
    if isinstance(transport, SmtpTransport):
        try:
            transport.probe()
        except ServerUnavailable as cause:
            reason = str(cause).removesuffix(".")
            return error("mail", f"{settings.smtp_url} failed: {reason}; check that server, and CHARTER_SMTP_URL")
        return ok("mail", f"{settings.smtp_url} accepts mails")
    if settings.sends_mail:
        return ok("mail", f"written to {settings.data_dir / 'mail'}; set CHARTER_SMTP_URL to send it")
    return error("mail", "cannot be sent, so users cannot reset their passwords; set CHARTER_SMTP_URL")


def _templates(settings: Config) -> Finding:
    try:
        mailing.mail_templates(settings, "Charter").check()
    except BrokenTemplate as cause:
        return error("templates", f"{str(cause).removesuffix('.')}; correct the file, or remove it")
    return ok("templates", f"{settings.mail_templates} has no faults")
