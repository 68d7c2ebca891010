"""The rules against guessable passwords (OWASP ASVS 5.0, 6.2.4 and 6.2.11)."""

from functools import cache
from importlib.resources import files

from api.services.names import canonical


@cache
def _common() -> frozenset[str]:
    """Return the common passwords: the 11,611 most common ones of at least eight characters, and 6,238 shorter words.

    They are from the package zxcvbn 4.5.0, which has the most common ones first. The shorter words are among its first
    10,000 and have a letter. Its license is beside the file.
    """
    return frozenset((files(__package__) / "common_passwords.txt").read_text().split())


@cache
def _longest() -> int:
    return max(map(len, _common()))


def is_hard_to_guess(password: str, service: str) -> bool:
    """Return True unless the password is a common one, one repeated character, or contains the name of the service.

    Digits and marks at the beginning or at the end do not make a common password hard to guess.
    """
    form = canonical(password)
    # The form of one character may have several. Spaces alone have an empty form.
    if len(set(password)) == 1 or len(set(form)) <= 1:
        return False
    return not _is_common(form) and canonical(service) not in form


def _is_common(form: str) -> bool:
    first = next((start for start, character in enumerate(form) if character.isalpha()), 0)
    end = next((end for end in range(len(form), 0, -1) if form[end - 1].isalpha()), 0)
    return _begins_with_common(form, end) or _begins_with_common(form[first:], end - first)


def _begins_with_common(form: str, least: int) -> bool:
    """Return True if the first `least` characters, or more of them, are a common password."""
    return any(form[:length] in _common() for length in range(least, min(len(form), _longest()) + 1))


def contains_identity(password: str, username: str, email: str) -> bool:
    """Return True if the password contains the username or the part of the email before the @."""
    form = canonical(password)
    local = canonical(email).rpartition("@")[0]
    # Good passwords contain shorter parts by chance.
    return any(len(part) >= 3 and part in form for part in (canonical(username), local))
