"""Usernames and emails: which are taken as such, and when two are the same."""

import re
import unicodedata
from functools import cache, lru_cache

from email_validator import EmailNotValidError, validate_email
from python_usernames.reserved_words import get_reserved_words
from python_usernames.validators import username_regex

# Case folding and NFKC can make an address longer than the column of its canonical form.
_MAX_LENGTH = 254


def canonical(name: str) -> str:
    """The form that no two users share: NFKC, case folded, without surrounding space."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()


# The library's own function reads its file of words for each name (0.3 ms).
_reserved_words = cache(get_reserved_words)


# What nobody sees makes no difference (Unicode's Default_Ignorable_Code_Point, as far as addresses can hold it).
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def is_username(name: str) -> bool:
    """Whether a stranger may call themselves so: no odd marks, no reserved word."""
    return username_regex.match(name) is not None and name.lower() not in _reserved_words()


def is_email(address: str) -> bool:
    """Whether this is an address in the form of RFC 5321 and 6531; nobody asks whether mail arrives there.

    So must its canonical form be: who logs in writes the address in any spelling.
    """
    if _INVISIBLE.search(address):
        return False
    try:
        form = canonical(normalize_email(address))
        return len(form) <= _MAX_LENGTH and canonical(normalize_email(form)) == form
    except EmailNotValidError:
        return False


@lru_cache(1024)
def normalize_email(address: str) -> str:
    """The address as it is kept and shown: NFC, its domain in lower case."""
    # A sign-up asks three times for one address (0.1 ms each).
    # The domain .test is for tests (RFC 2606, section 2): people and fuzzers who try an API use it.
    return validate_email(address, check_deliverability=False, test_environment=True).normalized


def login_key(name: str) -> str:
    """The canonical form of what somebody logs in with: a username, or an email however its domain is written."""
    form = canonical(name)
    try:
        return canonical(normalize_email(form))
    except EmailNotValidError:
        return form
