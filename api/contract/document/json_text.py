"""JSON texts with positions: what is wrong in them, and where their parts are."""

import json
import re
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate
from json import JSONDecoder
from json.decoder import scanstring  # type: ignore[attr-defined]
from math import isfinite
from pathlib import Path
from typing import Any

from api.contract.document.faults import ContractError, ContractFault, Pointer

MAX_DEPTH = 100
"""The most levels of a document. Functions that follow its parts need not limit their recursion."""

TOO_DEEP = f"must not be nested deeper than {MAX_DEPTH} levels"
_TOKEN = re.compile(
    r"""(?P<text>"[^"\\]*(?:\\.[^"\\]*)*")(?P<colon>[ \t\r\n]*:)?|(?P<open>[\[{])|(?P<close>[\]}])"""
    r"""|(?P<number>-?(?:[0-9][0-9.eE+-]*|Infinity|NaN))""",
    re.DOTALL,
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse(text: str, name: str) -> tuple[Any, list[ContractFault]]:
    """Return the value of a file and its faults. Raises ContractError if it is not valid JSON or too deep."""
    try:
        value = json.loads(text, parse_int=_integer)
    except json.JSONDecodeError as error:
        fault = ContractFault(f"not valid JSON: {error.msg}", place=f"{name}:{error.lineno}")
        raise ContractError(faults=[fault]) from None
    except RecursionError:
        value = None
    line, last, faults = 1, 0, []
    for position, message in _faults(text):
        line, last = line + text.count("\n", last, position), position
        faults.append(ContractFault(message, place=f"{name}:{line}"))
    return value, faults


def _integer(text: str) -> int:
    # Python does not parse more than 4,300 digits.
    return int(text) if len(text) < _LONG else 0


_LONG = 1000


def wrong_number(text: str) -> str:
    """Return the message for a number that no double can hold."""
    shown = text if len(text) < 20 else f"{text[:20]}..."
    return f"{shown} is not a number of JSON that fits in a double"


def _faults(text: str) -> Iterator[tuple[int, str]]:
    """Yield the position and the message of each fault in a text that is JSON or too deep."""
    around: list[set[str]] = []
    for token in _TOKEN.finditer(text):
        kind, found, at = token.lastgroup, token[0], token.start()
        if kind == "open":
            around.append(set())
            if len(around) > MAX_DEPTH:
                yield at, TOO_DEEP
                return
        elif kind == "close":
            around.pop()
        elif kind == "number":
            if not isfinite(float(found)):
                yield at, wrong_number(found)
        elif kind == "colon" or "\\u" in found:
            string = json.loads(token["text"])
            if _SURROGATE.search(string):
                yield at, "texts must not contain lone surrogates"
            elif kind == "colon" and string in around[-1]:
                yield at, f"duplicate key {string!r}"
            elif kind == "colon":
                around[-1].add(string)


class JsonLines:
    """The lines of a JSON file."""

    def __init__(self, file: Path) -> None:
        self._text = file.read_text(encoding="utf-8-sig")
        self._starts = [0, *accumulate(len(line) + 1 for line in self._text.split("\n"))]
        self._members: dict[int, dict[str | int, tuple[int, int]]] = {}

    def find(self, pointer: Pointer) -> int:
        """Return the line of a part, or of the nearest part around it."""
        at = start = _after_blanks(self._text, 0)
        for step in pointer:
            if start not in self._members:
                self._members[start] = dict(_members(self._text, start))
            if step not in self._members[start]:
                break
            at, start = self._members[start][step]
        return bisect(self._starts, at)


def _members(text: str, start: int) -> Iterator[tuple[str | int, tuple[int, int]]]:
    """Yield the name of each member with its position and that of its value. An object or a list is at `start`."""
    opening, index, at = text[start], 0, _after_blanks(text, start + 1)
    while opening in "{[" and text[at] not in "]}":
        name, value = (index, at) if opening == "[" else _key(text, at)
        yield name, (at, value)
        at = _after_blanks(text, JSONDecoder().raw_decode(text, value)[1])
        at = _after_blanks(text, at + 1) if text[at] == "," else at
        index += 1


def _key(text: str, at: int) -> tuple[str, int]:
    name, end = scanstring(text, at + 1)
    return name, _after_blanks(text, _after_blanks(text, end) + 1)


def _after_blanks(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at
