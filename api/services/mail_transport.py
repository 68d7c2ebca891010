"""Transports of mails: an SMTP server, or files in a folder."""

import logging
import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import parseaddr
from ipaddress import ip_address
from pathlib import Path
from threading import Timer
from typing import Protocol
from uuid import UUID

_log = logging.getLogger("charter.mail")
_READ_SECONDS = 10
_MOST_FILES = 1000
_SUCCESS, _PERMANENT, _SHUTTING_DOWN = range(200, 300), range(500, 600), 421
_ADDRESS = re.compile(r"<?[^\s<>]+@[^\s<>]+>?")


class ServerUnavailable(Exception):
    """The server cannot be reached or does not accept this client. No mail is the reason."""


class RetryLater(Exception):
    """The server does not accept this mail for now."""


class Undeliverable(Exception):
    """The server will never accept this mail."""


class Server(Protocol):
    """A mail server. `security` is `tls`, `starttls`, `off`, or `auto`: STARTTLS unless the host is this one."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def user(self) -> str: ...
    @property
    def password(self) -> str: ...
    @property
    def security(self) -> str: ...


class SmtpTransport:
    """Sends mails to a server, over one connection until `close`.

    A mail takes at most `seconds`, however slowly the server answers. smtplib only limits single reads.
    """

    def __init__(self, server: Server, sender: str, seconds: float = 40) -> None:
        self._server = server
        self._sender = parseaddr(sender)[1]
        self._seconds = seconds
        self._smtp: smtplib.SMTP | None = None

    def send(self, mail_id: UUID, template: str, message: EmailMessage) -> str:
        """Send a mail and return the first line of the server's last reply.

        Raises ServerUnavailable, RetryLater or Undeliverable.
        """
        with self._deadline():
            smtp = self._connected()
            try:
                return self._talk(smtp, message)
            except (smtplib.SMTPServerDisconnected, OSError) as error:
                self.close()
                raise RetryLater(f"the connection broke: {error}") from error

    def probe(self) -> None:
        """Connect, encrypt and log in, without a mail. Raises ServerUnavailable."""
        with self._deadline():
            self._connected()
        self.close()

    def close(self) -> None:
        """Close the connection, if there is one."""
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            with suppress(smtplib.SMTPException, OSError):
                smtp.quit()
            smtp.close()

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        timer = Timer(self._seconds, self._abort)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _abort(self) -> None:
        sock = getattr(self._smtp, "sock", None)
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(2)

    def _connected(self) -> smtplib.SMTP:
        if self._smtp is not None:
            with suppress(smtplib.SMTPException, OSError):
                if self._smtp.rset()[0] in _SUCCESS:
                    return self._smtp
            self.close()
        try:
            smtp = self._smtp = self._made()
            self._greet(smtp)
            return smtp
        except (smtplib.SMTPException, OSError, ValueError) as error:
            self.close()
            raise ServerUnavailable(_told(error)) from error

    def _made(self) -> smtplib.SMTP:
        """Return an SMTP client that has not connected. Its constructor would, and the deadline could not end that."""
        if self._server.security == "tls":
            return smtplib.SMTP_SSL(timeout=_READ_SECONDS, context=ssl.create_default_context())
        return smtplib.SMTP(timeout=_READ_SECONDS)

    def _greet(self, smtp: smtplib.SMTP) -> None:
        server = self._server
        # Only the constructor sets the name that TLS checks.
        smtp._host = server.host  # type: ignore[attr-defined]
        code, reply = smtp.connect(server.host, server.port)
        if code not in _SUCCESS:
            raise smtplib.SMTPConnectError(code, reply)
        smtp.ehlo_or_helo_if_needed()
        if server.security == "starttls" or (server.security == "auto" and not _is_loopback(server.host)):
            smtp.starttls(context=ssl.create_default_context())
            # RFC 3207, section 4.2: the client greets again.
            smtp.ehlo_or_helo_if_needed()
        if server.user:
            smtp.login(server.user, server.password)

    def _talk(self, smtp: smtplib.SMTP, message: EmailMessage) -> str:
        address = str(message["To"])
        is_ascii = address.isascii()
        if not is_ascii and not smtp.has_extn("smtputf8"):
            raise Undeliverable("the server does not support addresses with other than ASCII characters")
        _judge(*smtp.mail(self._sender, [] if is_ascii else ["SMTPUTF8"]))
        _judge(*smtp.rcpt(address))
        try:
            return _judge(*smtp.data(message.as_bytes(policy=SMTP if is_ascii else SMTPUTF8)))
        except smtplib.SMTPDataError as error:
            return _judge(error.smtp_code, error.smtp_error)


def _judge(code: int, reply: bytes | str) -> str:
    """Return the first line of a reply, or raise the exception that it means."""
    line = _line(code, reply)
    if code == _SHUTTING_DOWN:
        raise ServerUnavailable(line)
    if code in _PERMANENT:
        raise Undeliverable(line)
    if code not in _SUCCESS:
        raise RetryLater(line)
    return line


def _line(code: int, reply: bytes | str) -> str:
    """Return the first line of a reply, without addresses and unprintable characters."""
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    first = text.partition("\n")[0]
    shown = "".join(filter(str.isprintable, _ADDRESS.sub("<address>", first)))
    return f"{code} {shown}"[:200]


def _told(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return _line(error.smtp_code, error.smtp_error)
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        # The text may quote the password.
        return f"{type(error).__name__}: the server or CHARTER_SMTP_URL has text that cannot be read or sent"
    return " ".join(str(error).split())[:200]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class FileTransport:
    """Writes mails to files of a folder, and keeps the newest 1,000. Only the owner can read them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, mail_id: UUID, template: str, message: EmailMessage) -> str:
        """Write a mail and return the path. Raises ServerUnavailable if the folder cannot be used."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            file = self._folder / f"{mail_id}-{template}.eml"
            partial = file.with_suffix(".partial")
            partial.touch(mode=0o600)
            partial.write_bytes(message.as_bytes(policy=SMTPUTF8))
            partial.replace(file)
            # The ids are in the order of creation (UUIDv7).
            for old in sorted(self._folder.glob("*.eml"))[:-_MOST_FILES]:
                old.unlink(missing_ok=True)
        except OSError as error:
            raise ServerUnavailable(f"{self._folder}: {error.strerror}") from error
        _log.info("mail_written", extra={"facts": {"path": str(file)}})
        return str(file)

    def close(self) -> None:
        """Do nothing: no file stays open."""
