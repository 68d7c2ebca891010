"""Users with other roles than that of a sign-up."""

from api.config import Config
from tests.support.person import Person
from tests.support.workers import by_hand


def promote(config: Config, person: Person, role: str) -> Person:
    """Give a user a role, and log the user in again, because access tokens have the scopes of the former role."""
    change_role(config, person, role)
    person.log_in()
    return person


def change_role(config: Config, person: Person, role: str) -> None:
    """Change the role of a user in SQL."""
    _change(config, person.username, role)


def make_admin(config: Config, username: str) -> None:
    """Make the user with a username an admin in SQL."""
    _change(config, username, "admin")


def _change(config: Config, username: str, role: str) -> None:
    by_hand(config, f"UPDATE users SET role = '{role}' WHERE username_key = '{username}'")  # noqa: S608 - tests only
