"""The request log: an observer that writes one line for each request."""

from collections.abc import Callable
from functools import partial
from typing import Any

from api import logs
from api.contract import Outcome, RequestStart

_LOGGED_PATH = 512


def begin(request: RequestStart) -> Callable[[Outcome], None]:
    """Add the id, the address and the trace of a request to all its log lines.

    Call the returned function with the outcome of the request. It writes the line.
    """
    facts: dict[str, Any] = {"request_id": request.id, "address": request.address}
    if request.parent is not None:
        facts |= {"trace_id": request.parent.trace_id, "parent_id": request.parent.span_id}
    logs.request_context.set(facts)
    logs.cause.set(logs.ANONYMOUS)
    return partial(_end, request.path[:_LOGGED_PATH])


def _end(path: str, outcome: Outcome) -> None:
    if outcome.code is not None:
        logs.bind(code=outcome.code)
    milliseconds = round(outcome.seconds * 1000, 1)
    logs.request(method=outcome.method, path=path, status=outcome.status, ms=milliseconds)
