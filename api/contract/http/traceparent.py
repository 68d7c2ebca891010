"""The trace that a request continues, from its `traceparent` header (W3C Trace Context, level 1)."""

import re
from typing import NamedTuple

from starlette.types import Scope

from api.contract.http.framing import Fields

_FORM = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_SAMPLED = 0x01


class TraceParent(NamedTuple):
    """The caller's span, and whether the caller records it (the flag `sampled`)."""

    trace_id: str
    span_id: str
    is_sampled: bool


def parent_of(scope: Scope, fields: Fields) -> TraceParent | None:
    """Return the caller's span, or None if the header is missing, repeated or invalid (section 3.2)."""
    value = fields.get(b"traceparent")
    if value is None or sum([name == b"traceparent" for name, _ in scope["headers"]]) > 1:
        return None
    match = _FORM.fullmatch(value)
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    # A later version may append fields (section 3.2.1). Version ff is invalid, and so are ids of zeros only.
    if version == b"ff" or (version == b"00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceParent(trace_id.decode(), span_id.decode(), bool(int(flags, 16) & _SAMPLED))
