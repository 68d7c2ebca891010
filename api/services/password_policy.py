"""Which passwords are too easily guessed (OWASP ASVS 5.0, 6.2.4 and 6.2.11)."""

from functools import cache
from importlib.resources import files

from api.services.names import canonical


@cache
def _common() -> frozenset[str]:
    """The 3,000 most common passwords of at least eight characters, most common first in the file."""
    return frozenset((files(__package__) / "common_passwords.txt").read_text().split())


def is_hard_to_guess(password: str, service: str) -> bool:
    """Whether the password is neither among the most common ones nor holds the name of the service."""
    form = canonical(password)
    return form not in _common() and canonical(service) not in form


def contains_identity(password: str, username: str, email: str) -> bool:
    """Whether the password holds the username or the part of the email before the @."""
    form = canonical(password)
    local = canonical(email).rpartition("@")[0]
    # Shorter parts stand in good passwords by chance.
    return any(len(part) >= 3 and part in form for part in (canonical(username), local))
