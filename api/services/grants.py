"""The rule that callers can only grant scopes that they have, to API keys and to service accounts."""

from collections.abc import Iterable

from api.errors import Fault, InvalidInput


def check(wanted: Iterable[str], own: frozenset[str]) -> None:
    """Raise InvalidInput for each of the scopes in the body of a request that the caller does not have."""
    faults = [
        Fault(f"/body/scopes/{place}", "NOT_ALLOWED", "Must be a scope that you have yourself.")
        for place, scope in enumerate(wanted)
        if scope not in own
    ]
    if faults:
        raise InvalidInput(faults)
