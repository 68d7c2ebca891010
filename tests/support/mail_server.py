"""A real SMTP server for tests, which keeps the mails that it receives."""

import asyncio
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from threading import Thread
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from api.config.mail_parsers import SmtpServer
from tests.support.patience import PATIENCE_SECONDS

CODE = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{4}(?:-[0-9A-HJKMNP-TV-Z]{4}){2}\b")
SUCCESS = "250 OK"
Rule = Callable[[str], str]
"""Returns the reply for a mail to an address."""


@dataclass
class MailServer:
    """The mails that a server has received, and the replies that it gives."""

    mails: list[tuple[Envelope, EmailMessage]] = field(default_factory=list)
    on_recipient: Rule = field(default=lambda _: SUCCESS)
    on_data: Rule = field(default=lambda _: SUCCESS)
    port: int = 0

    def reset(self) -> None:
        """Forget all mails, and accept every mail."""
        self.mails = []
        self.on_recipient = self.on_data = lambda _: SUCCESS

    @property
    def settings(self) -> SmtpServer:
        """Return the setting of this server."""
        return SmtpServer("127.0.0.1", self.port, "", "", "auto")

    @property
    def to(self) -> list[str]:
        """Return the readers of all mails, in the order of their arrival."""
        return [envelope.rcpt_tos[0] for envelope, _ in self.mails]

    def message(self, address: str = "") -> EmailMessage:
        """Return the newest mail, or the newest to an address."""
        return [message for envelope, message in self.mails if address in ("", envelope.rcpt_tos[0])][-1]

    def code(self, address: str = "") -> str:
        """Return the code in the newest mail, or in the newest to an address."""
        (code,) = set(CODE.findall(text_of(self.message(address))))
        return str(code)

    async def handle_RCPT(  # noqa: N802 - the name that aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self.on_recipient(address)
        if reply == SUCCESS:
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        mail = envelope, message_from_bytes(content, _class=EmailMessage, policy=policy.default)
        # A client that ends before it gets the reply has sent the mail all the same.
        self.mails.append(mail)
        reply = await asyncio.to_thread(self.on_data, envelope.rcpt_tos[0])
        if reply != SUCCESS:
            self.mails.remove(mail)
        return reply


@contextmanager
def mail_server(**options: Any) -> Iterator[MailServer]:
    """Run an SMTP server on 127.0.0.1 until the block ends. The options are those of `aiosmtpd.smtp.SMTP`."""
    found = MailServer()
    listener = socket.create_server(("127.0.0.1", 0))
    found.port = listener.getsockname()[1]
    loop = asyncio.new_event_loop()
    make = partial(SMTP, found, hostname="localhost", loop=loop, enable_SMTPUTF8=True, **options)
    # The controller of aiosmtpd cannot listen on a free port.
    server = loop.run_until_complete(loop.create_server(make, sock=listener))
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        yield found
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result(PATIENCE_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _stop(server: asyncio.Server) -> None:
    """Close the server, and end the conversations that are still open."""
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()


def text_of(message: EmailMessage, kind: str = "plain") -> str:
    """Return the text or the HTML of a mail."""
    part = message.get_body((kind,))
    assert isinstance(part, EmailMessage)
    return str(part.get_content())


def only(password: str) -> Callable[..., AuthResult]:
    """Return an authenticator that accepts one password."""

    def check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data.password == password.encode(), handled=False)

    return check
