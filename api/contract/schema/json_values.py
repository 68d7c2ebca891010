"""Convert Python values to JSON: each type in the form of its schema, or an error that names the member."""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from api import clock
from api.contract.schema.fault_text import escaped

EXACT = frozenset({bool, int, str, type(None)})
"""The types whose values are JSON already."""

# Serialize only shaped values: on its own, orjson would dump every field of a dataclass, and format times differently.
_ONLY_JSON = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
# orjson writes integers of these sizes only.
_INTEGERS = range(-(2**63), 2**64)
# Python writes integers of up to 4,300 digits, and converts a Decimal of any exponent to an int of that length.
_MOST_DIGITS = 4300
_INTEGER = frozenset({"integer"})
_NUMBERS = frozenset({"integer", "number"})


class NotSerializable(Exception):
    """A value that the response schema cannot express. The pointer and the reason never contain the value."""

    def __init__(self, reason: str, pointer: str = "") -> None:
        super().__init__(f"the response cannot be serialized at {pointer or 'its root'}: {reason}")
        self.reason = reason
        self.pointer = pointer

    def inside(self, step: object) -> "NotSerializable":
        """Return the same error, as seen from the value around it."""
        return NotSerializable(self.reason, f"/{escaped(step)}{self.pointer}")


class Form(NamedTuple):
    """The part of a schema that determines the form of a scalar. `types` is None if the schema allows any type."""

    types: frozenset[str] | None = None
    format: str | None = None
    encoding: str | None = None


ANY = Form()


def to_json(value: Any, form: Form = ANY) -> Any:
    """Return a scalar in the form of its schema. Raises NotSerializable if JSON or the form cannot express it."""
    kind = type(value)
    if kind in EXACT:
        return value
    convert = _CONVERSIONS.get(kind)
    if convert is not None:
        return convert(value, form)
    # A subclass is converted like its class.
    for known, convert in _CONVERSIONS.items():
        if isinstance(value, known):
            return convert(value, form)
    raise NotSerializable(f"a value of the type {type(value).__name__} has no form in this schema")


def free_form(value: Any, form: Form = ANY) -> Any:
    """Return any JSON value. Lists and mappings are converted as a whole."""
    if isinstance(value, Mapping):
        shaped = {}
        try:
            for name, member in value.items():
                shaped[key_of(name)] = member if type(member) in EXACT else free_form(member)
        except NotSerializable as error:
            raise error.inside(name) from None
        return shaped
    if isinstance(value, list | tuple):
        items: list[Any] = []
        try:
            items.extend(item if type(item) in EXACT else free_form(item) for item in value)
        except NotSerializable as error:
            raise error.inside(len(items)) from None
        return items
    return to_json(value, form)


def is_file(value: Any) -> bool:
    """Return True for an open file. A row may have a member `read`, which is not a function."""
    return callable(getattr(value, "read", None))


def key_of(name: Any) -> str:
    """Return the name of a member. Raises NotSerializable if the key is not a string, an integer or a UUID."""
    name = name.value if isinstance(name, Enum) else name
    if isinstance(name, str | UUID) or type(name) is int:
        return str(name)
    raise NotSerializable(f"a key of the type {type(name).__name__} has no JSON form")


def encode(value: Any) -> bytes:
    """Return a converted value as JSON text. Raises NotSerializable if a string or an integer cannot be written."""
    try:
        # The json module takes 12 us more in a busy server.
        return orjson.dumps(value, _exact_decimal, _ONLY_JSON)
    except TypeError:
        return _encode_slowly(value)


def _encode_slowly(value: Any) -> bytes:
    try:
        return orjson.dumps(_written_out(value), _exact_decimal, _ONLY_JSON)
    except TypeError:
        raise NotSerializable("the value is nested too deeply") from None


def _exact_decimal(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(type(value).__name__)


def _written_out(value: Any) -> Any:
    """Return the value with its large integers as text. Raises NotSerializable for the first string outside UTF-8."""
    if isinstance(value, dict):
        return {_unicode(name): _at(name, member) for name, member in value.items()}
    if isinstance(value, list):
        return [_at(number, item) for number, item in enumerate(value)]
    if isinstance(value, int) and value not in _INTEGERS:
        try:
            return orjson.Fragment(str(value))
        except ValueError:
            raise NotSerializable("the integer has too many digits") from None
    return _unicode(value) if isinstance(value, str) else value


def _at(step: object, value: Any) -> Any:
    try:
        return _written_out(value)
    except NotSerializable as error:
        raise error.inside(step) from None


def _unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotSerializable("the string contains a lone surrogate") from None
    return text


def _text(text: str, form: Form) -> str:
    if form.types is not None and "string" not in form.types:
        raise NotSerializable(f"the type must be {' or '.join(sorted(form.types))}")
    return text


def _number(value: float, form: Form) -> float:
    if not isfinite(value):
        raise NotSerializable("NaN and infinite numbers have no JSON form")
    return int(value) if form.types == _INTEGER and value.is_integer() else value


def _decimal(value: Decimal, form: Form) -> Any:
    if not value.is_finite():
        raise NotSerializable("NaN and infinite numbers have no JSON form")
    if form.types is not None and not form.types & _NUMBERS:
        return _text(str(value), form)
    if value == value.to_integral_value() and abs(value.adjusted()) < _MOST_DIGITS:
        return int(value)
    # A float is kept only if it is written with the same digits.
    return number if Decimal(repr(number := float(value))) == value else value


def _datetime(value: datetime, form: Form) -> str:
    if form.format == "date":
        return _text(value.date().isoformat(), form)
    if form.format == "time":
        return _text(value.timetz().isoformat(), form)
    return _text(clock.rfc3339(value), form)


def _date(value: date, form: Form) -> str:
    if form.format == "date-time":
        raise NotSerializable("a date has no time of day")
    return _text(value.isoformat(), form)


def _duration(value: timedelta, form: Form) -> Any:
    """Return a duration in ISO 8601 (RFC 3339, appendix A), or the seconds for a schema of numbers."""
    if form.types is not None and "string" not in form.types:
        seconds = value.total_seconds()
        return to_json(seconds, form) if form.types & _NUMBERS else _text("", form)
    sign, value = ("-", -value) if value < timedelta() else ("", value)
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{value.microseconds:06}".rstrip("0") if value.microseconds else ""
    days = f"{value.days}D" if value.days else ""
    units = [f"{hours}H" if hours else "", f"{minutes}M" if minutes else ""]
    units.append(f"{seconds}{fraction}S" if seconds or fraction or not (days or any(units)) else "")
    clock_part = "".join(units)
    return f"{sign}P{days}{'T' if clock_part else ''}{clock_part}"


def _bytes(value: bytes, form: Form) -> str:
    if form.encoding == "base64url":
        return _text(urlsafe_b64encode(value).decode(), form)
    if form.encoding == "base16":
        return _text(bytes(value).hex(), form)
    if form.format == "byte" or form.encoding == "base64":
        return _text(b64encode(value).decode(), form)
    raise NotSerializable("bytes need the format byte")


# A datetime is a date, and an Enum may be a str or an int, so the order matters for subclasses.
_CONVERSIONS: dict[type, Callable[[Any, Form], Any]] = {
    Enum: lambda value, form: to_json(value.value, form),
    float: _number,
    str: lambda value, _: value,
    int: lambda value, _: value,
    datetime: _datetime,
    UUID: lambda value, form: _text(str(value), form),
    date: _date,
    Decimal: _decimal,
    time: lambda value, form: _text(value.isoformat(), form),
    timedelta: _duration,
    bytes: _bytes,
    bytearray: _bytes,
    memoryview: _bytes,
}
