"""The addresses that proxies add to the headers `X-Forwarded-For`, `Forwarded` and `X-Real-IP`."""

import re
from collections.abc import Iterator

MOST_ENTRIES = 20
"""A chain of more proxies is a mistake or an attack."""

# RFC 7239, section 4: pairs of a name and a token or quoted string, separated by semicolons.
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE = rf'(?:{_WORD}|"(?:[^"\\]|\\.)*")'
_PAIR = re.compile(rf"[ \t]*({_WORD})=({_VALUE})[ \t]*(?:;|$)")
_ESCAPED = re.compile(r"\\(.)")


def listed_from_right(line: str) -> Iterator[str]:
    """Yield the entries of a plain list, the last one first."""
    for entry in reversed(line.rsplit(",", MOST_ENTRIES)):
        if entry := entry.strip(" \t"):
            yield entry


def forwarded_from_right(line: str) -> Iterator[str]:
    """Yield the parameter `for` of each element of the header `Forwarded` (RFC 7239), the last element first.

    An element without a valid `for` is an empty text. The shortest valid end of the line is the last element, so an
    open quotation mark of a client cannot swallow the element that a proxy has added.
    """
    rest = line.rsplit(",", MOST_ENTRIES)
    while rest:
        end = rest.pop()
        while (pairs := _pairs(end)) is None and rest:
            end = f"{rest.pop()},{end}"
        if pairs is None or end.strip(" \t"):
            names = [name.lower() for name, _ in pairs or ()]
            yield (pairs or [])[names.index("for")][1] if names.count("for") == 1 else ""


def _pairs(element: str) -> list[tuple[str, str]] | None:
    """Return the pairs of an element, or None if it is not valid."""
    found, position = [], 0
    if not element.strip(" \t"):
        return []
    while position < len(element):
        pair = _PAIR.match(element, position)
        if pair is None:
            return None
        value = pair[2]
        found.append((pair[1], _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value))
        position = pair.end()
    return found
