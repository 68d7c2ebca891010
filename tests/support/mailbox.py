"""The mails of an application under test: its delivery worker, run step by step, and a real mail server."""

from dataclasses import dataclass, replace

from sqlalchemy import delete

from api import models
from api.config import Config
from api.mailing import mail_delivery
from api.services import email_verification, outbox
from api.storage.database import Database
from tests.support.mail_server import MailServer


@dataclass
class Mailbox:
    """Delivers the waiting mails to a server when a test asks for it.

    Each sign-up sends a mail. Most tests are about other mails, so they are left out unless `verifies` is True.
    """

    config: Config
    database: Database
    server: MailServer
    verifies: bool = False

    def deliver(self) -> MailServer:
        """Send all mails that are due, and return the server."""
        self._leave_out()
        config = replace(self.config, smtp_url=self.server.settings)
        delivery = mail_delivery(config, self.database, "Charter")
        while self.is_due():
            delivery.step()
        return self.server

    def is_due(self) -> bool:
        with self.database.transaction() as db:
            return outbox.has_due(db)

    def states(self) -> list[tuple[str, str, int, str | None]]:
        """Return the template, the state, the attempts and the error of each mail, the newest first."""
        self._leave_out()
        with self.database.transaction() as db:
            rows = [row for state in ("waiting", "sent", "dead") for row in outbox.list_newest(db, state, 100)]
        return [(row.template, row.state, row.attempts, row.error) for row in sorted(rows, reverse=True)]

    def _leave_out(self) -> None:
        if not self.verifies:
            with self.database.transaction() as db:
                db.run(delete(models.outbox).where(models.outbox.c.template == email_verification.MAIL))
