"""Parsers for the text of a setting. Each returns the value, or raises ValueError with the expected form."""

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_DRIVERS = {
    "sqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return a parser for a whole number from `low` to `high`, in ASCII digits."""

    def parse(text: str) -> int:
        if not _is_integer(text, low, high):
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def choice(*words: str) -> Callable[[str], str]:
    """Return a parser for one of `words`."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text

    return parse


def key_prefix(text: str) -> str:
    """Parse the start of API keys. Scanners for secrets search for it."""
    if not re.fullmatch("[a-z]{3,12}", text):
        raise ValueError("3 to 12 small letters, such as charter")
    return text


def listen_host(text: str) -> str:
    """Parse an address or name to listen on, or `unix:` with the path of a socket."""
    path = socket_path(text)
    if path is not None and not path.is_absolute():
        raise ValueError("an address, a name, or unix: with an absolute path, such as unix:/run/charter/charter.sock")
    return text


def socket_path(host: str) -> Path | None:
    """Return the path of the Unix socket that a host names, or None."""
    kind, found, path = host.partition(":")
    return Path(path) if kind == "unix" and found else None


def string_or_uri(text: str) -> str:
    """Parse a StringOrURI: a text with a colon must be a URI (RFC 7519, section 2)."""
    # The length is limited because every token contains the issuer and the audience.
    if len(text) > 255 or not re.fullmatch("[!-9;-~]+|[A-Za-z][A-Za-z0-9+.-]*:[!-~]+", text):
        raise ValueError("a URL, or a name without spaces and colons, of at most 255 ASCII characters")
    return text


def public_url(text: str) -> str:
    """Parse the URL under which clients reach the service. Return it without a slash at the end."""
    # The length is limited because the URL is the default of the issuer, which every token contains.
    if len(text) > 255 or not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._~%/-]*)?", text):
        raise ValueError("a URL such as https://example.com/auth, without a query, of at most 255 characters")
    return text.rstrip("/")


def traces_url(text: str) -> str:
    """Parse the URL of a trace collector (OTLP over HTTP), or `off`. A URL requires the extra `otel`."""
    # Settings are displayed, so the collector's credentials belong in OTEL_EXPORTER_OTLP_HEADERS.
    if text != "off" and not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]_-]+(/[!-~]*)?", text):
        raise ValueError("off, or a URL such as http://127.0.0.1:4318/v1/traces, without a password")
    if text != "off" and not _is_installed("opentelemetry.exporter.otlp.proto.http"):
        raise ValueError("off unless OpenTelemetry is installed; install it with: pip install 'charter[otel]'")
    return text


def rate_limits(text: str) -> tuple[str, ...]:
    """Parse overrides such as `logIn.address=300/60, signUp.address=off`, or `off` for all rate limits."""
    entries = tuple(filter(None, map(str.strip, text.split(","))))
    names = [entry.partition("=")[0] for entry in entries]
    if len(names) > len(set(names)):
        raise ValueError("a list that names each rate limit once")
    for entry in entries if text != "off" else ():
        name, _, change = entry.partition("=")
        quota, _, window = change.partition("/")
        is_change = change == "off" or (_is_integer(quota, 1, 10_000) and _is_integer(window, 1, 86_400))
        if not is_change or not re.fullmatch(r"\w+\.[a-z-]+", name, re.ASCII):
            raise ValueError(
                "off, or a list such as logIn.address=300/60, signUp.address=off, with quotas up to 10000 and seconds "
                "up to 86400"
            )
    return entries


def _is_integer(text: str, low: int, high: int) -> bool:
    return text.isascii() and text.isdecimal() and low <= int(text) <= high


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _with_hosts_in_query(text: str) -> str:
    """Move several hosts, which libpq separates by commas, to the query, where SQLAlchemy expects them."""
    if "," not in text:
        return text
    parts = urlsplit(text)
    user, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        return text
    query = [*(("host", host) for host in hosts.split(",")), *parse_qsl(parts.query)]
    return parts._replace(netloc=user + at, query=urlencode(query)).geturl()


def database_url(text: str) -> URL:
    """Parse the URL of the database, and select the installed driver."""
    try:
        url = make_url(_with_hosts_in_query(text))
        driver = _DRIVERS[url.drivername]
    except (ArgumentError, KeyError, ValueError):
        # The original message may quote the password.
        raise ValueError("a URL such as postgresql://user:password@host/name or sqlite:////folder/file") from None
    if driver == "sqlite" and url.database in {None, "", ":memory:"}:
        raise ValueError("a persistent database; for SQLite, add the path of a file")
    return url.set(drivername=driver)
