"""Parsers of the settings of mail. Each raises ValueError with what the setting must be."""

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

_PORTS = {"smtp": 587, "smtps": 465}
_LOCALE = re.compile("[a-z]{2,3}(-[A-Z][A-Za-z]{1,7})?")
_ADDRESS = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+"
_SENDER = re.compile(rf"{_ADDRESS}|[^<>@,;:\\\"()]+ <{_ADDRESS}>")


class SmtpServer(NamedTuple):
    """A mail server. `security` is `tls`, `starttls`, `off`, or `auto`: STARTTLS unless the host is this one."""

    host: str
    port: int
    user: str
    password: str
    security: str

    def __repr__(self) -> str:
        """Return the server without the password."""
        return f"{self.host}:{self.port}"


def smtp_url(text: str) -> SmtpServer:
    """Parse `smtp://user:password@host:587`, `smtps://host`, or `smtp://host?tls=off`."""
    try:
        parts = urlsplit(text)
        security = {"": "tls" if parts.scheme == "smtps" else "auto", "tls=off": "off"}[parts.query]
        server = SmtpServer(
            parts.hostname or "",
            parts.port or _PORTS[parts.scheme],
            unquote(parts.username or ""),
            unquote(parts.password or ""),
            security,
        )
    except (KeyError, ValueError):
        server = SmtpServer("", 0, "", "", "")
    if not server.host or parts.path not in {"", "/"} or parts.fragment or (parts.scheme == "smtps" and parts.query):
        raise ValueError("a URL such as smtp://user:password@mail.example.com:587 or smtps://mail.example.com")
    return server


def mail_from(text: str) -> str:
    """Parse the sender of mails: an address, or a name and an address."""
    if not _SENDER.fullmatch(text) or not text.isprintable():
        raise ValueError("an address such as no-reply@example.com, or Example <no-reply@example.com>")
    return text


def link_url(text: str) -> str:
    """Parse the URL of the pages that mails link to. The code must be in the fragment, which no server receives."""
    parts = urlsplit(text)
    is_page = parts.scheme in {"http", "https"} and bool(parts.hostname)
    if (
        not is_page
        or "{code}" not in parts.fragment
        or text.count("{") != text.count("{action}") + text.count("{code}")
    ):
        raise ValueError("a URL such as https://app.example.com/{action}#code={code}")
    return text


def locale(text: str) -> str:
    """Parse a language, such as `en` or `de-AT`."""
    if not _LOCALE.fullmatch(text):
        raise ValueError("a language such as en or de-AT")
    return text


def template_folder(text: str) -> Path:
    """Parse the folder of templates that come before the shipped ones."""
    folder = Path(text).absolute()
    if not folder.is_dir():
        raise ValueError(f"an existing folder: {folder} does not exist")
    return folder
