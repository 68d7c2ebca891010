"""The regular expressions of ECMA-262, which JSON Schema and OpenAPI require for `pattern`."""

import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from regress import Regex, RegressError

# A pattern of these parts means the same in Python, apart from the anchor `$`. Python is four times as fast.
_LITERAL = r"[A-Za-z0-9 !\"#%&',/:;<=>@_`~-]"
_ESCAPE = r"\\(?:[$()*+./?\[\\\]^{|}-]|x[0-9A-Fa-f]{2})"
_CLASS = rf"\[\^?(?:{_ESCAPE}|[A-Za-z0-9 !\"#$%&'()*+,./:;<=>?@_`{{|}}~-])+\]"
_QUANTIFIED = rf"(?:{_LITERAL}|{_ESCAPE}|{_CLASS}|\))(?:(?:[*+?]|\{{[0-9]+(?:,[0-9]*)?\}})\??)?"
_PORTABLE = re.compile(rf"(?:{_QUANTIFIED}|\((?:\?:)?|[|^$])*")
_ANCHOR = re.compile(rf"({_ESCAPE}|{_CLASS})|\$")

Search = Callable[[str], object]
"""Returns a true value if a part of the text matches."""

# A regular expression with more alternatives than this can overflow the stack of a small thread.
_MAX_LENGTH = 1000
# Annex B also lets escaped letters stand for themselves. Most of these are mistakes: \Z is the end of the text in other
# languages.
_PUNCTUATION = frozenset(" !\"#%&',-:;<=>@_`~")
_TOKEN = re.compile(r"\\(?:[pPux]\{[^}]*\}|k<[^>]*>|.)|.", re.DOTALL)
_QUANTIFIER = re.compile(r"\{(?:[0-9]+(?:,[0-9]*)?|,[0-9]+)\}")
_SET = re.compile(r"\\(?:[dDwWsS]|[pP]\{[^}]*\})")


@cache
def compile_pattern(pattern: str) -> Search:
    """Return the search for a pattern of the contract, in ECMA-262 with the flag `u`.

    Punctuation may be escaped without need, and lone braces and hyphens are literal, as in ECMA-262, Annex B.
    Raises ValueError if the pattern is not valid.
    """
    if _PORTABLE.fullmatch(pattern):
        with suppress(re.error):
            return re.compile(_ANCHOR.sub(lambda found: found[1] or r"\Z", pattern)).search
    try:
        find = Regex(_without_annex_b(pattern), "u").find
    except (RegressError, UnicodeEncodeError) as error:
        raise ValueError(f"the pattern {pattern!r} is not a regular expression of ECMA-262: {error}") from None

    def search(text: str) -> object:
        try:
            return find(text)
        except UnicodeEncodeError:
            # Only a response that is checked can have a lone surrogate, and regress does not accept it.
            return find(text.encode("utf-8", "replace").decode())

    return search


def is_pattern(text: str) -> bool:
    """Return True if a text is a regular expression of ECMA-262, and not longer than 1,000 characters."""
    if len(text) > _MAX_LENGTH:
        return False
    try:
        compile_pattern.__wrapped__(text)
    except ValueError:
        return False
    return True


def _without_annex_b(pattern: str) -> str:
    """Return the same pattern in the strict syntax of the flag `u`."""
    found: list[str] = []
    position, in_class, after_set = 0, False, False
    while match := _TOKEN.match(pattern, position):
        piece = match[0]
        if not in_class and (quantifier := _QUANTIFIER.match(pattern, position)):
            piece = quantifier[0]
        position += len(piece)
        is_set = bool(_SET.fullmatch(piece))
        found.append(_strict(piece, in_class, after_set or bool(_SET.match(pattern, position))))
        in_class = piece == "[" or (in_class and piece != "]")
        after_set = is_set
    return "".join(found)


def _strict(piece: str, in_class: bool, beside_set: bool) -> str:
    if piece == "-" and in_class:
        # A hyphen beside a set, as in [\w-.], does not make a range.
        return r"\-" if beside_set else piece
    if piece == r"\-":
        return piece if in_class else "-"
    if len(piece) == 2 and piece[0] == "\\" and piece[1] in _PUNCTUATION:
        return piece[1]
    is_literal = piece in {"{", "}"} or piece == ("[" if in_class else "]")
    return f"\\{piece}" if is_literal else piece
