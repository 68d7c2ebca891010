"""The status that an operation has if all goes well."""

from api.contract import Operation


def success_of(operation: Operation) -> str:
    """Return the first 2xx status that an operation declares."""
    return next(str(status) for status in operation.definition["responses"] if str(status).startswith("2"))
