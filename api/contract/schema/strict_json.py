"""Strict JSON (RFC 8259 and I-JSON, RFC 7493). Texts that readers could interpret differently are rejected."""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from itertools import accumulate
from math import isfinite
from typing import Any, NamedTuple, NoReturn

import orjson

from api.contract.schema.fault_text import pointer_inside
from api.errors import Fault, InvalidInput

MAX_DEPTH = 32
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# NUL and lone surrogates only occur as escapes. Other numbers than these fit.
_MAY_NOT_FIT = re.compile(rb"\\u|[0-9]{19}|[0-9][eE]\+?[0-9]{3}")
# An unclosed string extends to the end of the text. Without possessive quantifiers, `re` would use 60 bytes for each
# escape.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - set(_STEPS))


def parse(body: bytes) -> Any:
    """Return the value of a JSON text in UTF-8.

    Raises InvalidInput if the text is not JSON, or has NaN, Infinity or repeated names. Strings must not contain NUL or
    lone surrogates. Numbers must fit in the range of a double, and the nesting in 32 levels. Integers stay exact.
    """
    # Most bodies are unambiguous, and orjson parses them in half the time.
    if b"\\" in body or _may_be_deep(body):
        return _parse_closely(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _parse_closely(body)
    return value if _is_plain(value, body.count(b":")) else _parse_closely(body)


def parse_part(text: bytes, pointer: str) -> Any:
    """Return the value of a JSON text that is a part of a request. Its faults begin with the pointer of the part."""
    try:
        return parse(text)
    except InvalidInput as error:
        faults = [fault._replace(pointer=pointer + fault.pointer.removeprefix("/body")) for fault in error.faults]
        raise InvalidInput(faults) from None


def _may_be_deep(body: bytes) -> bool:
    return body.count(b"{") + body.count(b"[") > MAX_DEPTH


def _is_plain(value: Any, colons: int) -> bool:
    """Return True if no name is repeated and no number can have been rounded.

    A repeated name would leave more colons in the text than names in the value.
    """
    names = 0
    nodes = [value]
    # The loop extends the list until every value has been visited.
    for node in nodes:
        kind = type(node)
        if kind is str:
            continue
        if kind is dict:
            names += len(node)
            nodes += node.values()
        elif kind is list:
            nodes += node
        elif kind is float:
            return False
    return names == colons


def _parse_closely(body: bytes) -> Any:
    if not body.strip():
        raise _malformed("Must not be empty.")
    # Some tools of Windows write this mark. RFC 8259, section 8.1, forbids it.
    if body.startswith(BOM_UTF8):
        raise _malformed("Must not begin with a byte order mark.")
    if _may_be_deep(body) and _levels(body) > MAX_DEPTH:
        raise _malformed(f"Must not be nested deeper than {MAX_DEPTH} levels.")
    try:
        value = _DECODER.decode(body.decode())
    except UnicodeDecodeError:
        raise _malformed("Must be valid UTF-8.") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"Not valid JSON at line {error.lineno}, column {error.colno}.") from None
    if _MAY_NOT_FIT.search(body) and (faults := list(_misfits(value, "/body"))):
        raise InvalidInput(faults)
    return value


def _levels(body: bytes) -> int:
    """Return the depth of the nesting. The text may be malformed, and is not decoded: a decoder would recurse."""
    brackets = _STRING.sub(b"", body).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def _malformed(detail: str) -> InvalidInput:
    return InvalidInput([Fault("/body", "MALFORMED_JSON", detail)])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise InvalidInput([Fault("/body", "REPEATED", "Names must be unique within an object.")])
    return members


def _constant(_: str) -> NoReturn:
    raise _malformed("NaN and Infinity are not valid JSON.")


class _Misfit(NamedTuple):
    """A number that no variable can hold: the code and the detail of its fault."""

    code: str
    detail: str


def _integer(digits: str) -> int | _Misfit:
    # Python cannot parse more than 4,300 digits, and is slow for long numbers below that.
    number = 0.0 if len(digits) < 309 else _number(digits)
    return number if isinstance(number, _Misfit) else int(digits)


def _number(text: str) -> float | _Misfit:
    number = float(text)
    if not isfinite(number):
        return _Misfit("TOO_SMALL" if number < 0 else "TOO_LARGE", "Numbers must fit in a double.")
    return number


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_number
)


def _misfits(value: Any, pointer: str) -> Iterator[Fault]:
    """Yield the faults of the parts that cannot be stored. If a name cannot be shown, the pointer ends before it."""
    if isinstance(value, _Misfit):
        yield Fault(pointer, *value)
    elif isinstance(value, str) and _UNSTORABLE.search(value):
        yield Fault(pointer, "WRONG_FORMAT", "Must not contain NUL or lone surrogates.")
    elif isinstance(value, dict):
        if any(_UNSTORABLE.search(name) for name in value):
            yield Fault(pointer, "WRONG_FORMAT", "Names must not contain NUL or lone surrogates.")
        for name, member in value.items():
            yield from _misfits(member, pointer_inside(pointer, [name]))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _misfits(item, pointer_inside(pointer, [number]))
