"""The budgets of a user in the rate limits, which an admin can fill."""

from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from api.models.user import UserRow
from api.services.rate_limits import RateLimiter


class _Identity(NamedTuple):
    """The user of a policy by identity."""

    user_id: UUID


def subjects_of(user: UserRow) -> list[tuple[str, Any, str]]:
    """Return the kinds of policies that count a user, with the values that have the budgets and the names to show."""
    by_name = [("body.username", name, name) for name in (user.username, user.email)]
    return [*by_name, ("body.email", user.email, user.email), ("identity", _Identity(user.id), user.username)]


class UserBudgets:
    """The budgets of users. `policies` are those of all operations, each with the id of its operation."""

    def __init__(self, limiter: RateLimiter, policies: Iterable[tuple[str, Any]]) -> None:
        self._limiter = limiter
        self._policies = list(policies)

    def clear(self, user: UserRow) -> None:
        """Give a user full budgets at once, whatever becomes of a transaction.

        Raises DatabaseUnavailable if the budgets cannot be used.
        """
        self._limiter.clear(
            [
                (operation, policy, value)
                for operation, policy in self._policies
                for by, value, _ in subjects_of(user)
                if policy.by == by
            ]
        )
