"""Usernames and emails: validation and canonical forms."""

import re
import unicodedata
from functools import cache, lru_cache

from python_usernames.reserved_words import get_reserved_words
from python_usernames.validators import username_regex

# Case folding and NFKC can make an address longer than the column of its canonical form.
_MAX_LENGTH = 254


def canonical(name: str) -> str:
    """Return the canonical form, which must be unique among users: NFKC, case-folded, stripped."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()


# Cached: the library reads its word file on each call (0.3 ms).
_reserved_words = cache(get_reserved_words)


# Invisible characters must not make two addresses different. These are the characters with Unicode's property
# Default_Ignorable_Code_Point that an address can contain.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def is_username(name: str) -> bool:
    """Return True if a new user may have this name: plain characters, and not a reserved word."""
    return username_regex.match(name) is not None and name.lower() not in _reserved_words()


def is_email(address: str) -> bool:
    """Return True if this is an address by the syntax of RFC 5321 and 6531. Delivery is not checked.

    The canonical form must be valid too, because a user may log in with any spelling of the address.
    """
    if _INVISIBLE.search(address):
        return False
    try:
        form = email_key(address)
        return len(form) <= _MAX_LENGTH and email_key(form) == form
    except ValueError:
        return False


@lru_cache(1024)
def normalize_email(address: str) -> str:
    """Return the address as it is stored and shown: NFC, with its domain in lower case.

    Raises ValueError if this is not an address.
    """
    # The import takes 25 ms, which the start of a worker does not need.
    from email_validator import validate_email  # noqa: PLC0415

    # Cached: a sign-up normalizes the same address three times (0.1 ms each).
    # The domain .test is reserved for tests (RFC 2606, section 2), and manual tests and fuzzers use it.
    return validate_email(address, check_deliverability=False, test_environment=True).normalized


def email_key(address: str) -> str:
    """Return the canonical form of an email, which must be unique among users. Raises ValueError if this is not one.

    Domains are compared by A-label (IDNA 2008), so those with ß and with ss differ. The form has the U-label, of which
    there is exactly one for each A-label.
    """
    local, _, domain = normalize_email(address).rpartition("@")
    return f"{canonical(local)}@{domain}"


def login_key(name: str) -> str:
    """Return the canonical form of a log-in name: a username, or an email with any spelling of its domain."""
    text = unicodedata.normalize("NFKC", name).strip()
    try:
        return email_key(text) if "@" in text else canonical(name)
    except ValueError:
        return canonical(name)


def search_key(beginning: str) -> str:
    """Return the canonical form of the beginning of a username or an email."""
    text = unicodedata.normalize("NFKC", beginning).strip()
    if "@" not in text:
        return canonical(text)
    try:
        return email_key(text)
    except ValueError:
        # The domain is not complete yet.
        local, _, domain = text.rpartition("@")
        return f"{canonical(local)}@{domain.lower()}"


def former_login_key(name: str) -> str:
    """Return the canonical form of a log-in name in release 0.2.0, which also case-folded the domain of an email."""
    form = canonical(name)
    try:
        return canonical(normalize_email(form)) if "@" in form else form
    except ValueError:
        return form
