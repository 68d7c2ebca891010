"""The rule that callers can only grant scopes that they have, and only change users with these scopes."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

from api.errors import Fault, InvalidInput
from api.models.user import UserRow
from api.services import roles, users
from api.services.roles import Caller, Scopes
from api.storage.database import Db


def check(wanted: Iterable[str], own: frozenset[str]) -> None:
    """Raise InvalidInput for each of the scopes in the body of a request that the caller does not have."""
    faults = [
        Fault(f"/body/scopes/{place}", "NOT_ALLOWED", "Must be a scope that you have yourself.")
        for place, scope in enumerate(wanted)
        if scope not in own
    ]
    if faults:
        raise InvalidInput(faults)


@contextmanager
def rights_over(db: Db, role_scopes: Scopes, caller: Caller, user_id: UUID, *new_roles: str) -> Iterator[UserRow]:
    """Yield a user whom the caller may change. Check after the change that the caller still may.

    Raises NotFound, InsufficientScope if the caller lacks a scope of the user's role or of the new roles, and
    InvalidToken if the caller's session has ended.
    """
    user = users.get(db, user_id)
    roles.must_hold(role_scopes, caller.scopes, user.role, *new_roles)
    yield user
    roles.must_still_hold(db, role_scopes, caller)


def log_out(db: Db, role_scopes: Scopes, caller: Caller, user_id: UUID) -> None:
    """End all sessions of the caller, or of a user whom the caller may change. Raises as `rights_over` does."""
    if user_id == caller.user_id:
        # The session of the caller ends as well, so `rights_over` would reject the caller.
        users.log_out(db, user_id)
        return
    with rights_over(db, role_scopes, caller, user_id):
        users.log_out(db, user_id)
