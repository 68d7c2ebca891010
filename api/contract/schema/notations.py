"""The notation of each type of JSON in a text, which is exact: ` 1`, `+1` and `01` are not numbers."""

import re
from collections.abc import Callable
from math import isfinite
from typing import Any

from api.contract.schema import strict_json
from api.errors import InvalidInput

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,308})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_CONSTANTS = {"true": True, "false": False}


class NoMatch(Exception):
    """The text does not have the notation of a type."""


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text) or not isfinite(float(text)):
        raise NoMatch
    return int(text)


def _number(text: str) -> int | float:
    if not _NUMBER.fullmatch(text) or not isfinite(number := float(text)):
        raise NoMatch
    return int(text) if _INTEGER.fullmatch(text) else number


def _boolean(text: str) -> bool:
    if text not in _CONSTANTS:
        raise NoMatch
    return _CONSTANTS[text]


def _null(text: str) -> None:
    if text != "null":
        raise NoMatch


def _json(text: str) -> Any:
    try:
        return strict_json.parse(text.encode())
    except InvalidInput:
        raise NoMatch from None


# The order in which the types are tried: a text that fits several types gets the first one.
NOTATIONS: dict[str, Callable[[str], Any]] = {
    "null": _null,
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
    # No style defines a list or an object inside of another one, so it is JSON, as in most clients.
    "array": _json,
    "object": _json,
}
