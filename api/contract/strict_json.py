"""JSON as RFC 8259 and I-JSON (RFC 7493) have it: one meaning for every reader, or a refusal."""

import json
import re
from typing import Any, NoReturn

from api.errors import Fault, InvalidInput

MAX_DEPTH = 32
INTEGERS = range(-(2**63), 2**63)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def parse(body: bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Raises InvalidInput for what is not JSON, and for what JSON leaves to the reader: NaN, Infinity, a name given
    twice, integers over 64 bits, NUL, lone surrogates, more than 32 levels.
    """
    try:
        value = json.loads(
            body.decode(),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer,
            parse_float=_number,
        )
    except UnicodeDecodeError:
        raise _malformed("It is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"It stops being JSON at line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise _too_deep() from None
    _check(value, MAX_DEPTH)
    return value


def _malformed(detail: str) -> InvalidInput:
    return InvalidInput([Fault("/body", "MALFORMED_JSON", detail)])


def _too_deep() -> InvalidInput:
    return _malformed(f"It is nested deeper than {MAX_DEPTH} levels.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise InvalidInput([Fault("/body", "REPEATED", "An object has the same name twice.")])
    return members


def _constant(_: str) -> NoReturn:
    raise _malformed("NaN and Infinity are not JSON.")


def _integer(digits: str) -> int:
    # Python reads no number of more than 4,300 digits, and takes long for those.
    if len(digits) > 20 or int(digits) not in INTEGERS:
        raise _malformed("It holds an integer of more than 64 bits.")
    return int(digits)


def _number(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise _malformed("It holds a number too large for a double.")
    return number


def _check(value: Any, levels: int) -> None:
    if isinstance(value, str) and _UNSTORABLE.search(value):
        raise _malformed("It holds a NUL or a lone surrogate.")
    if isinstance(value, dict | list) and levels == 0:
        raise _too_deep()
    if isinstance(value, dict):
        for name, member in value.items():
            _check(name, levels - 1)
            _check(member, levels - 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, levels - 1)
