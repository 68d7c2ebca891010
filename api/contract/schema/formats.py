"""The checks of the `format` values of JSON Schema and OpenAPI. A service adds checks for its own formats.

Formats that only describe a value, such as `password` and `binary`, accept all values.
"""

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property, partial
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal

from jsonschema import FormatChecker

from api.contract.schema.patterns import is_pattern

Format = Callable[[Any], object]
"""Returns a true value if a value has the `format`."""
Kind = Literal["string", "integer", "number"]
"""The type of the values that a format describes."""


@dataclass(frozen=True)
class TypedFormat:
    """A format check for the values of one type. A plain function checks strings.

    Values of other types pass, because the keyword `type` reports them. A check of integers gets each number without a
    fraction as an int, and rejects all other numbers.
    """

    accepts: Format
    kind: Kind = "string"

    def __call__(self, value: object) -> bool:
        if self.kind == "string":
            return not isinstance(value, str) or bool(self.accepts(value))
        if isinstance(value, bool) or not isinstance(value, int | float):
            return True
        if self.kind == "integer" and isinstance(value, float):
            return value.is_integer() and bool(self.accepts(int(value)))
        return bool(self.accepts(value))

    def concerns(self, kind: str) -> bool:
        """Return True if the format can reject a value of this type."""
        return kind == "string" if self.kind == "string" else kind in {"integer", "number"}


def format_checker(formats: Mapping[str, Format]) -> FormatChecker:
    """Return a jsonschema checker for these formats."""
    checker = FormatChecker(formats=())
    for name, check in formats.items():
        checker.checks(name)(check if isinstance(check, TypedFormat) else TypedFormat(check))
    return checker


def _parses(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _is(pattern: str, text: str, parse: Callable[[str], object] = str) -> bool:
    return bool(re.fullmatch(pattern, text, re.ASCII)) and _parses(parse, text)


_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-5][0-9])"
_DURATION = (
    r"P(?!$)(\d+W|(\d+Y(\d+M(\d+D)?)?|\d+M(\d+D)?|\d+D)?"
    r"(T(?=\d)(\d+H(\d+M(\d+S)?)?|\d+M(\d+S)?|\d+S))?)"
)
_UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_LABEL = "[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
_HOST = rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*"
_LOCAL = (
    r"[0-9A-Za-z!#$%&'*+/=?^_`{{|}}~{0}-]+(\.[0-9A-Za-z!#$%&'*+/=?^_`{{|}}~{0}-]+)*"
    r'|"([\x20\x21\x23-\x5b\x5d-\x7e{0}]|\\[\x20-\x7e])*"'
)
# RFC 3986, appendix A.
_PERCENT = "%[0-9A-Fa-f]{2}"
_POINTER = "(/([^~/]|~[01])*)*"
# RFC 3490, section 3.1. The empty text is here, because it is not a name either.
_DOTS = {"", ".", "\u3002", "\uff0e", "\uff61"}
_FLOAT_MAX = 3.4028234663852886e38
_DOUBLE_MAX = 1.7976931348623157e308


def is_date_time(text: str) -> bool:
    """Return True if the text is a time with a zone (RFC 3339, section 5.6). Leap seconds are rejected."""
    return _is(f"{_DATE}[Tt]{_TIME}", text, lambda text: datetime.fromisoformat(text.upper()))


def _is_time(text: str) -> bool:
    return is_date_time(f"2000-01-01T{text}")


def _is_base64(text: str, alphabet: str = "+/") -> bool:
    body = text.rstrip("=") if alphabet == "-_" else text
    padded = body + "=" * (-len(body) % 4) if alphabet == "-_" else body
    return _is(rf"[0-9A-Za-z{re.escape(alphabet)}]*={{0,2}}", text) and _parses(
        partial(b64decode, altchars=alphabet, validate=True), padded
    )


def _is_host(text: str) -> bool:
    if not _is(_HOST, text):
        return False
    # Other labels with two hyphens there are reserved (RFC 5891, section 4.2.3.1).
    coded = [label for label in text.lower().split(".") if label[2:4] == "--"]
    return all(label.startswith("xn--") and _is_idn_host(label) for label in coded)


def _is_idn_host(text: str) -> bool:
    from idna import encode  # noqa: PLC0415 - it takes a megabyte, and few contracts need it

    return text[-1:] not in _DOTS and _parses(partial(encode, std3_rules=True), text)


def _is_email(text: str, *, host: Format = _is_host, letters: str = "") -> bool:
    """Return True if the text is a mailbox (RFC 5321, section 4.1.2), with more letters if given (RFC 6531)."""
    local, _, domain = text.rpartition("@")
    if not re.fullmatch(_LOCAL.format(letters), local):
        return False
    if domain.startswith("[") and domain.endswith("]"):
        literal = domain[1:-1]
        return _is_ipv6(literal[5:]) if literal.upper().startswith("IPV6:") else _parses(IPv4Address, literal)
    return bool(host(domain))


def _is_ipv6(text: str) -> bool:
    return "%" not in text and _parses(IPv6Address, text)


class _Address:
    """The grammar of URIs (RFC 3986, appendix A), or of IRIs with more letters (RFC 3987, section 2.2)."""

    def __init__(self, letters: str = "", private: str = "") -> None:
        self._letters = letters
        self._private = private

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], re.Pattern[str]]:
        # Compiled on the first use: the patterns of IRIs take 30 ms, and few contracts need them.
        unreserved = rf"[0-9A-Za-z._~!$&'()*+,;={self._letters}-]"
        char = rf"(?:{unreserved}|[:@]|{_PERCENT})"
        name = rf"(?:{unreserved}|{_PERCENT})*"
        authority = rf"(?:(?:{unreserved}|:|{_PERCENT})*@)?(?:\[([^\]]*)\]|{name})(?::[0-9]*)?"
        tail = rf"(?:\?(?:{char}|[/?{self._private}])*)?(?:#(?:{char}|[/?])*)?"
        rooted = rf"//{authority}(?:/{char}*)*|/(?:{char}+(?:/{char}*)*)?"
        scheme = r"[A-Za-z][0-9A-Za-z+.-]*:"
        absolute = rf"{scheme}(?:{rooted}|(?:{char}+(?:/{char}*)*)?){tail}"
        first = rf"(?:{unreserved}|@|{_PERCENT})+"
        relative = rf"(?:{rooted}|(?:{first}(?:/{char}*)*)?){tail}"
        return re.compile(absolute), re.compile(relative)

    def is_absolute(self, text: str) -> bool:
        absolute, _ = self._patterns
        return _has_host(absolute.fullmatch(text))

    def is_reference(self, text: str) -> bool:
        _, relative = self._patterns
        return self.is_absolute(text) or _has_host(relative.fullmatch(text))


def _has_host(match: re.Match[str] | None) -> bool:
    if match is None or match[1] is None:
        return match is not None
    return _is_ipv6(match[1]) or bool(re.fullmatch(r"[vV][0-9A-Fa-f]+\.[0-9A-Za-z._~!$&'()*+,;=:-]+", match[1]))


_URI = _Address()
_UNICODE = (
    "\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef"
    + "".join(f"{chr(plane * 0x10000)}-{chr(plane * 0x10000 + 0xFFFD)}" for plane in range(1, 14))
    + "\U000e1000-\U000efffd"
)
_IRI = _Address(_UNICODE, "\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd")
_TEMPLATE = (
    r"(?:[^\x00-\x20\"'<>%\\^`{|}\x7f]|'|%[0-9A-Fa-f]{2}"
    r"|\{[+#./;?&]?(?:(?:\w|%[0-9A-Fa-f]{2})(?:\.?(?:\w|%[0-9A-Fa-f]{2}))*(?::[1-9][0-9]{0,3}|\*)?(?:,(?!\})|(?=\})))+\})*"
)


def _within(bound: float) -> Callable[[float], bool]:
    return lambda number: -bound <= number <= bound


def _integers(least: int, most: int) -> TypedFormat:
    return TypedFormat(range(least, most + 1).__contains__, "integer")


DESCRIPTIONS = frozenset(
    {
        *("binary", "commonmark", "decimal", "decimal128", "html", "http-date", "media-range", "password", "unixtime"),
        *("sf-binary", "sf-boolean", "sf-decimal", "sf-integer", "sf-string", "sf-token"),
    }
)
"""The registered formats that only describe a value."""

STANDARD: Mapping[str, Format] = {
    "base64url": partial(_is_base64, alphabet="-_"),
    "byte": _is_base64,
    "char": lambda text: len(text) == 1,
    "date": partial(_is, _DATE, parse=date.fromisoformat),
    "date-time": is_date_time,
    "double": TypedFormat(_within(_DOUBLE_MAX), "number"),
    "double-int": _integers(-(2**53) + 1, 2**53 - 1),
    "duration": partial(_is, _DURATION),
    "email": _is_email,
    "float": TypedFormat(_within(_FLOAT_MAX), "number"),
    "hostname": _is_host,
    "idn-email": partial(_is_email, host=_is_idn_host, letters="\u0080-\U0010ffff"),
    "idn-hostname": _is_idn_host,
    "int8": _integers(-(2**7), 2**7 - 1),
    "int16": _integers(-(2**15), 2**15 - 1),
    "int32": _integers(-(2**31), 2**31 - 1),
    "int64": _integers(-(2**63), 2**63 - 1),
    "ipv4": partial(_parses, IPv4Address),
    "ipv6": _is_ipv6,
    "iri": _IRI.is_absolute,
    "iri-reference": _IRI.is_reference,
    "json-pointer": partial(_is, _POINTER),
    "regex": is_pattern,
    "relative-json-pointer": partial(_is, f"(0|[1-9][0-9]*)(#|{_POINTER})"),
    "time": _is_time,
    "uint8": _integers(0, 2**8 - 1),
    "uint16": _integers(0, 2**16 - 1),
    "uint32": _integers(0, 2**32 - 1),
    "uint64": _integers(0, 2**64 - 1),
    "uri": _URI.is_absolute,
    "uri-reference": _URI.is_reference,
    "uri-template": partial(_is, _TEMPLATE),
    "uuid": re.compile(_UUID).fullmatch,
}
"""The checks of the registered formats."""


def known_formats(formats: Mapping[str, Format]) -> frozenset[str]:
    """Return the names of the registered formats and of those that a service adds."""
    return DESCRIPTIONS | STANDARD.keys() | formats.keys()
