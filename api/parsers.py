"""How the text of a setting is read: each parser takes it, or raises ValueError that says what is wanted."""

import re
from collections.abc import Callable

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_DRIVERS = {
    "sqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number from `low` to `high`, in ASCII digits."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def one_of(*words: str) -> Callable[[str], str]:
    """One of a few words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text

    return parse


def name_or_url(text: str) -> str:
    """A StringOrURI: what holds a colon is a URI (RFC 7519, section 2)."""
    # Both stand in every token, which has a limit.
    if len(text) > 255 or not re.fullmatch("[!-9;-~]+|[A-Za-z][A-Za-z0-9+.-]*:[!-~]+", text):
        raise ValueError("a URL, or a name without spaces and colons, of at most 255 ASCII characters")
    return text


def database_url(text: str) -> URL:
    """Where the database is, with the driver that is installed."""
    try:
        url = make_url(text)
        driver = _DRIVERS[url.drivername]
    except (ArgumentError, KeyError, ValueError):
        # What they say may quote the password.
        raise ValueError("a URL such as postgresql://user:password@host/name or sqlite:////folder/file") from None
    if driver == "sqlite" and url.database in {None, "", ":memory:"}:
        raise ValueError("a database that outlives the process: SQLite needs a file")
    return url.set(drivername=driver)
