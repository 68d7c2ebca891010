"""Pointers and details of faults within the limits of the contract: 1,000 characters without control characters."""

import re
from collections.abc import Collection, Iterable

_MAX = 1000
_SEPARATORS = str.maketrans("", "", "-_")
_CONTROL = re.compile("[\x00-\x1f\ud800-\udfff]")


def escaped(step: object) -> str:
    """Return a step of a JSON pointer (RFC 6901, section 3)."""
    return str(step).replace("~", "~0").replace("/", "~1")


def pointer_inside(pointer: str, steps: Iterable[object]) -> str:
    """Return the pointer to a part of a value. It ends before the first name that a pointer cannot show."""
    for step in steps:
        name = escaped(step)
        if len(pointer) + 1 + len(name) > _MAX or _CONTROL.search(name):
            break
        pointer = f"{pointer}/{name}"
    return pointer


def unknown_name(kind: str, given: Collection[str], allowed: Collection[str]) -> str:
    """Return the detail for an object or a query that has unknown names.

    The detail never shows an unknown name, which may be a misplaced secret. It shows the allowed name that differs only
    in case or separators.
    """
    spellings = {_letters(name): name for name in allowed if name not in given}
    unknown = {_letters(name) for name in given if name not in allowed}
    meant = [name for spelling, name in spellings.items() if spelling in unknown]
    end = f"; did you mean {', '.join(meant)}?" if meant else "."
    return f"Unknown {kind}{end} Allowed: {', '.join(allowed) or 'none'}."


def _letters(name: str) -> str:
    return name.translate(_SEPARATORS).casefold()


def one_line(text: str) -> str:
    """Return a text as the detail of a fault."""
    line = _CONTROL.sub(" ", text)
    return line if len(line) <= _MAX else f"{line[: _MAX - 3]}..."
