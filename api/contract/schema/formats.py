"""The checks of the standard `format` values in the contract. A service adds checks for its own formats."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jsonschema import FormatChecker

Format = Callable[[Any], object]
"""Returns a true value if a string or an integer has the `format`."""

_DATE_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-5][0-9])")
_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def is_date_time(text: str) -> bool:
    """Return True if the text is a time with a zone (RFC 3339, section 5.6). Leap seconds are rejected."""
    try:
        return bool(_DATE_TIME.fullmatch(text) and datetime.fromisoformat(text))
    except ValueError:
        return False


STANDARD: Mapping[str, Format] = {
    "date-time": is_date_time,
    "int32": range(-(2**31), 2**31).__contains__,
    "int64": range(-(2**63), 2**63).__contains__,
    "uuid": _UUID.fullmatch,
}
_OF_INTEGERS = {"int32", "int64"}


@dataclass(frozen=True)
class TypedFormat:
    """A format check as jsonschema calls it, for a value of any type.

    A value of another type passes here, because the keyword `type` reports it.
    """

    kind: type
    accepts: Format

    def __call__(self, value: object) -> bool:
        return not isinstance(value, self.kind) or bool(self.accepts(value))


def format_checker(formats: Mapping[str, Format]) -> FormatChecker:
    """Return a jsonschema checker for these formats."""
    checker = FormatChecker(formats=())
    for name, accepts in formats.items():
        checker.checks(name)(TypedFormat(int if name in _OF_INTEGERS else str, accepts))
    return checker
