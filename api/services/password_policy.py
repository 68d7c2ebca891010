"""The rules against guessable passwords (OWASP ASVS 5.0, 6.2.4 and 6.2.11)."""

import unicodedata
from functools import cache
from importlib.resources import files

# No character that NFKC keeps in one piece has more parts (Unicode, UAX 15).
_MOST_PARTS = 4


@cache
def _common() -> frozenset[str]:
    """Return the common passwords: the 11,611 most common ones of at least eight characters, and 6,238 shorter words.

    They are ASCII in lower case, from the package zxcvbn 4.5.0, which has the most common ones first. The shorter words
    are among its first 10,000 and have a letter. Its license is beside the file.
    """
    return frozenset((files(__package__) / "common_passwords.txt").read_text().split())


@cache
def _longest() -> int:
    return max(map(len, _common()))


def is_hard_to_guess(password: str, service: str) -> bool:
    """Return True unless the password is a common one, one repeated character, or contains the name of the service.

    Digits and marks at the beginning or at the end do not make a common password hard to guess.
    """
    # The form of one character may have several.
    if _repeats(password, 1):
        return False
    form = _form(password)
    return not (_is_one_character(form) or _is_common(form) or _form(service) in form)


def _form(text: str) -> str:
    """Return the text as the rules compare it: decomposed (NFKD), case-folded, stripped."""
    # Not composed: for a text of 128 characters, NFKC may take 300 us.
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).strip()


def _repeats(text: str, size: int) -> bool:
    return text == text[:size] * (len(text) // size)


def _is_one_character(form: str) -> bool:
    """Return True if the form is empty, as for spaces, or repeats the parts of one character."""
    return any(
        _repeats(form, size) and len(unicodedata.normalize("NFKC", form[:size])) <= 1
        for size in range(1, _MOST_PARTS + 1)
    )


def _is_common(form: str) -> bool:
    first = next((start for start, character in enumerate(form) if character.isalpha()), 0)
    end = next((end for end in range(len(form), 0, -1) if form[end - 1].isalpha()), 0)
    return _begins_with_common(form, end) or _begins_with_common(form[first:], end - first)


def _begins_with_common(form: str, least: int) -> bool:
    """Return True if the first `least` characters, or more of them, are a common password."""
    return any(form[:length] in _common() for length in range(least, min(len(form), _longest()) + 1))


def contains_identity(password: str, username: str, email: str) -> bool:
    """Return True if the password contains the username or the part of the email before the @."""
    form = _form(password)
    local = _form(email).rpartition("@")[0]
    # Good passwords contain shorter parts by chance.
    return any(len(part) >= 3 and part in form for part in (_form(username), local))
