"""The rules against guessable passwords (OWASP ASVS 5.0, 6.2.4 and 6.2.11)."""

from functools import cache
from importlib.resources import files

from api.services.names import canonical


@cache
def _common() -> frozenset[str]:
    """Return the 3,000 most common passwords of at least eight characters. The file has the most common ones first."""
    return frozenset((files(__package__) / "common_passwords.txt").read_text().split())


def is_hard_to_guess(password: str, service: str) -> bool:
    """Return True if the password is not a common one and does not contain the name of the service."""
    form = canonical(password)
    return form not in _common() and canonical(service) not in form


def contains_identity(password: str, username: str, email: str) -> bool:
    """Return True if the password contains the username or the part of the email before the @."""
    form = canonical(password)
    local = canonical(email).rpartition("@")[0]
    # Good passwords contain shorter parts by chance.
    return any(len(part) >= 3 and part in form for part in (canonical(username), local))
