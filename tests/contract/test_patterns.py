"""Patterns mean the same in Python and in ECMA-262, where Python searches."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from regress import Regex

from api.contract.schema import patterns
from api.contract.schema.patterns import compile_pattern

PORTABLE = [
    "^[A-Za-z .-]*$",
    "^[A-Z]{2}-[0-9]{6}$",
    r"^[^\x00]*$",
    "^_?[A-Za-z0-9]+([._-][A-Za-z0-9]+)*_?$",
    "^[A-Za-z0-9_-]+$",
    r"^[0-9]{4}-[0-9]{2}T[0-9]{2}\.[0-9]{3}Z$",
    "^[A-Z][ -~]*$",
    "^([a-z:]+( [a-z:]+)*)?$",
    r"^/(body|query|path)[^\x00-\x1F]*$",
    r"x$|y|\$",
    "[a-z-9]",
    "a{2,}?b*?",
    "(?:a|b$)+",
    "^$",
    r"^[\]\[\\-]+$",
    "a|",
    "",
]
OTHER = [
    r"\d",
    r"\w",
    r"\bx",
    ".",
    r"(?!a)b",
    r"(a)\1",
    "[^]",
    "[]",
    "[^]-a[b]",
    "[a^]",
    "é",
    r"\u00e9",
    r"\p{L}",
    "(?<name>a)",
    "{a",
    r"^(?!([^\x00])\1*$)[^\x00]*$",
]


def is_searched_by_python(pattern: str) -> bool:
    return isinstance(getattr(compile_pattern(pattern), "__self__", None), re.Pattern)


@pytest.mark.parametrize("pattern", PORTABLE)
def test_common_patterns_are_searched_by_python(pattern: str) -> None:
    assert is_searched_by_python(pattern)


@pytest.mark.parametrize("pattern", OTHER)
def test_patterns_that_may_differ_are_searched_by_ecma_262(pattern: str) -> None:
    assert not is_searched_by_python(pattern)


@pytest.mark.parametrize("pattern", ["(", ")", "a**", "a*+", "a{5,2}", "[b-a]", "(?:", r"\Z", "*"])
def test_invalid_patterns_are_rejected(pattern: str) -> None:
    with pytest.raises(ValueError, match="not a regular expression of ECMA-262"):
        compile_pattern(pattern)


ATOMS = [
    "a",
    "b",
    "-",
    " ",
    "[a-c]",
    "[^b]",
    "[-b]",
    r"\.",
    r"\x0a",
    r"[^\x00]",
    r"\$",
    "[$]",
    "[a-]",
    "[ab^]",
    "[+-.]",
]
OTHERS = ["^", "$", "|", "(", "(?:", ")", "*", "+", "?", "*?", "{2}", "{1,2}", "{,2}", "[", "]", "{", "}"]
PIECES = st.sampled_from([*ATOMS, *OTHERS])
TEXTS = st.text(st.sampled_from("ab-c.$\n\r\u2028\x00 ^é\U0001f600"), max_size=8)


@pytest.mark.slow
@given(pattern=st.lists(PIECES, max_size=6).map("".join), texts=st.lists(TEXTS, min_size=1, max_size=10))
def test_python_and_ecma_262_agree_on_every_text(pattern: str, texts: list[str]) -> None:
    try:
        search = compile_pattern.__wrapped__(pattern)
        exact = Regex(patterns._without_annex_b(pattern), "u").find
    except ValueError:
        return
    for text in texts:
        assert bool(search(text)) is bool(exact(text)), (pattern, text)
