"""What a `format` of the contract means: a check, by name. The standard ones stand here; a service adds its own."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jsonschema import FormatChecker

Format = Callable[[Any], object]
"""Whether a string, or an integer, is what its `format` in the contract says."""

_DATE_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-5][0-9])")
_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def is_date_time(text: str) -> bool:
    """Whether this is a time with its zone (RFC 3339, section 5.6); a leap second is refused."""
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
class Of:
    """A format as jsonschema asks for it, of any value: one of another type has a fault of its own."""

    kind: type
    accepts: Format

    def __call__(self, value: object) -> bool:
        return not isinstance(value, self.kind) or bool(self.accepts(value))


def format_checker(formats: Mapping[str, Format]) -> FormatChecker:
    """What jsonschema asks whether a value has one of these formats."""
    checker = FormatChecker(formats=())
    for name, accepts in formats.items():
        checker.checks(name)(Of(int if name in _OF_INTEGERS else str, accepts))
    return checker
