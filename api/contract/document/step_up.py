"""Step-up of operations: the extension `x-step-up`. Its caller must have proved its identity a short time ago."""

from api.contract.document.faults import ContractError
from api.contract.document.operation import Operation, resolve_or_empty
from api.contract.document.rate_limits import period

_FIELD = "x-step-up"
_SECONDS = range(60, 86_401)
_BEARER_TYPES = {"oauth2", "openIdConnect"}


def check_step_up(operation: Operation) -> None:
    """Raise ContractError if `x-step-up` of an operation is not valid."""
    if _FIELD not in operation.definition:
        return
    wanted = operation.definition[_FIELD]
    seconds = wanted.get("seconds") if isinstance(wanted, dict) else None
    if seconds is None or wanted.keys() != {"seconds"} or type(seconds) is not int or seconds not in _SECONDS:
        raise ContractError(f"x-step-up must be {{seconds: 900}}, with {_SECONDS[0]} to {_SECONDS[-1]} seconds")
    # Other credentials belong to no session, so no log-in belongs to them either.
    alternatives = [list(requirement) for requirement in operation.security]
    if not alternatives or not all(len(names) == 1 and _is_token(names[0], operation) for names in alternatives):
        raise ContractError("x-step-up requires an access token, but security does not")


def _is_token(name: str, operation: Operation) -> bool:
    """Return True if the credentials of a scheme are access tokens. Credentials with a prefix are API keys."""
    schemes = operation.document.get("components", {}).get("securitySchemes", {})
    scheme = resolve_or_empty(schemes.get(name, {}), operation.document)
    is_bearer = str(scheme.get("scheme", "")).lower() == "bearer" and "x-prefix" not in scheme
    return scheme.get("type") in _BEARER_TYPES or is_bearer


def described(seconds: int) -> str:
    """Return the requirement in words, for the documentation page."""
    return f"Requires a log-in or a step-up within the last {period(seconds)}, or else gets a 401."
