"""The delivery worker: sends the mails of the outbox, each at least once, and twice only after a crash.

A mail is claimed for a lease, which is longer than an attempt can take. A process that ends loses its claims when their
leases end. No transaction is open while a mail is sent.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from email.message import EmailMessage
from random import SystemRandom
from time import monotonic
from typing import Protocol
from uuid import UUID, uuid4

from api import clock
from api.errors import ApiError
from api.services import outbox, users
from api.services.mail_message import compose
from api.services.mail_templates import BrokenTemplate, Templates
from api.services.mail_transport import RetryLater, ServerUnavailable, Undeliverable
from api.services.outbox import MailRow, Prepared
from api.storage.database import Database, Db

_log = logging.getLogger("charter.mail")
_LEASE = timedelta(seconds=60)
_CLAIMED_AT_ONCE = 5
_FIRST_DELAY, _LONGEST_DELAY = 15, 3600
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 300.0
_EXPIRED = "EXPIRED"
# It has no state, so it changes no sequence of random numbers that another thread has seeded.
_uniform = SystemRandom().uniform


Prepare = Callable[[Db, MailRow], Prepared | None]
"""Returns the parts of a mail that the outbox lacks, or None if the mail has no reader."""


class Transport(Protocol):
    """Sends mails. Raises ServerUnavailable, RetryLater or Undeliverable."""

    def send(self, mail_id: UUID, template: str, message: EmailMessage) -> str:
        """Send a mail and return what the server answered."""

    def close(self) -> None:
        """Close the connection, if there is one."""


class Delivery:
    """Sends waiting mails in steps. `prepare` has the templates whose mails need more than the outbox has.

    `on_outcome` gets the template and the outcome of each attempt: sent, later, dead or dropped.
    """

    def __init__(
        self,
        database: Database,
        templates: Templates,
        transport: Transport,
        sender: str,
        prepare: Mapping[str, Prepare],
        on_outcome: Callable[[str, str], None] | None = None,
    ) -> None:
        self._database = database
        self._templates = templates
        self._transport = transport
        self._sender = sender
        self._prepare = prepare
        self._on_outcome = on_outcome
        self._pause = _FIRST_PAUSE
        self._paused_until = 0.0

    def step(self) -> bool:
        """Send some due mails, and return True if more may be waiting."""
        if monotonic() < self._paused_until:
            return False
        claim_id = uuid4()
        with self._database.transaction() as db:
            rows = outbox.claim(db, claim_id, _LEASE, _CLAIMED_AT_ONCE)
        try:
            for place, row in enumerate(rows):
                if not self._deliver(row, claim_id):
                    self._give_back(row, rows[place + 1 :], claim_id)
                    return False
        finally:
            self._transport.close()
        self._pause = _FIRST_PAUSE
        return bool(rows)

    def _deliver(self, row: MailRow, claim_id: UUID) -> bool:
        """Send one mail and note the result. Return False if the server is unavailable."""
        if row.expires_at <= clock.now():
            self._settle(row, claim_id, "dead", _EXPIRED)
            return True
        try:
            ready = self._prepared(row, claim_id)
        except ApiError:
            raise
        except Exception as error:
            self._fail(row, claim_id, error)
            return True
        if ready is None:
            return True
        row, prepared = ready
        try:
            self._transport.send(row.id, row.template, self._message(row, prepared))
        except ServerUnavailable as error:
            self._rest(error)
            return False
        except RetryLater as error:
            self._settle(row, claim_id, "later", str(error))
        except (Undeliverable, BrokenTemplate) as error:
            self._settle(row, claim_id, "dead", str(error))
        except Exception as error:
            self._transport.close()
            self._fail(row, claim_id, error)
        else:
            self._pause = _FIRST_PAUSE
            self._settle(row, claim_id, "sent", "")
        return True

    def _prepared(self, row: MailRow, claim_id: UUID) -> tuple[MailRow, Prepared] | None:
        """Renew the claim, and return the mail with its parts. Return None if the claim is lost or the mail dropped."""
        with self._database.transaction() as db:
            if row.user_id is not None:
                # A deletion locks the user before the mails. In the other order, each could wait for the other one.
                users.lock(db, row.user_id)
            # The first write takes the lock of SQLite, so no other process can prepare the mail of this user.
            if not outbox.renew(db, row.id, claim_id, _LEASE):
                _lost(row)
                return None
            prepare = self._prepare.get(row.template)
            prepared = prepare(db, row) if prepare else Prepared(row.address or "", row.facts or {})
            if prepared is None:
                outbox.drop(db, row.id, claim_id)
            elif prepared.user_id is not None:
                outbox.assign(db, row.id, prepared.user_id)
        if prepared is None:
            self._count(row, "dropped")
            return None
        return row._replace(template=prepared.template or row.template), prepared

    def _fail(self, row: MailRow, claim_id: UUID, error: Exception) -> None:
        """Try a mail again later that failed unexpectedly. It must not stop all mails that are due after it."""
        _log.exception("mail_failed")
        self._settle(row, claim_id, "later", type(error).__name__)

    def _message(self, row: MailRow, prepared: Prepared) -> EmailMessage:
        locale = outbox.lookup(prepared.locale, self._templates.locales) if prepared.locale else None
        return compose(self._templates, self._sender, row._replace(locale=locale or row.locale), prepared)

    def _settle(self, row: MailRow, claim_id: UUID, outcome: str, error: str) -> None:
        with self._database.transaction() as db:
            if outcome == "sent":
                is_held = outbox.settle_sent(db, row.id, claim_id)
            else:
                due_at = clock.now() + _delay(row.attempts) if outcome == "later" else None
                is_held = outbox.settle_failed(db, row.id, claim_id, error, due_at)
        if not is_held:
            _lost(row)
        facts = {"mail_id": str(row.id), "template": row.template, **({"error": error} if error else {})}
        _log.log(logging.WARNING if error else logging.INFO, f"mail_{outcome}", extra={"facts": facts})
        self._count(row, outcome)

    def _count(self, row: MailRow, outcome: str) -> None:
        if self._on_outcome is not None:
            self._on_outcome(row.template, outcome)

    def _give_back(self, tried: MailRow, others: list[MailRow], claim_id: UUID) -> None:
        now = clock.now()
        with self._database.transaction() as db:
            # The reason may be the mail that was tried, so the others come first the next time.
            for row in others:
                outbox.give_back(db, row.id, claim_id, now - timedelta(milliseconds=1))
            outbox.give_back(db, tried.id, claim_id, now)

    def _rest(self, error: Exception) -> None:
        facts = {"error": str(error), "retry_seconds": int(self._pause)}
        _log.warning("mail_unavailable", extra={"facts": facts})
        self._paused_until = monotonic() + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)


def _lost(row: MailRow) -> None:
    _log.warning("mail_lease_lost", extra={"facts": {"mail_id": str(row.id)}})


def _delay(attempts: int) -> timedelta:
    seconds = min(_FIRST_DELAY * 2 ** (attempts - 1), _LONGEST_DELAY)
    return timedelta(seconds=seconds * _uniform(0.8, 1.2))
