"""Docstrings, comments and documentation are plain English, as far as a pattern can tell.

The rules are: start a sentence with its subject, name programs instead of persons, write "is not a", and write short
sentences. A docstring or comment has no semicolon.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests.support.paths import CHECKOUT
from tests.support.prose import Text, comments, docstrings, markdown, sentences
from tests.support.readme import PAGES

FOLDERS = ("api", "benchmarks", "migrations", "tests", "tools")
MODULES = sorted(
    file for folder in FOLDERS for file in (CHECKOUT / folder).rglob("*.py") if "node_modules" not in file.parts
)
MAX_WORDS = 30

RULES = {
    "starts without its subject": re.compile(
        r"^\W*(?i:who|whom|what|whoever|whomever|whatever|that which|those|so (?:many|much)"
        r"|how (?:many|much|long|fast|soon|far|often))\b.*[^?]$"
    ),
    "names a person for a program": re.compile(r"\b(?i:no|some|any|every)body\b"),
    "has 'is no', 'is none' or 'what is not'": re.compile(
        r"\b(?:is|are|was|were) (?:no (?!longer\b|more\b)|none\b)|\bwhat (?:is|are) not\b"
    ),
}
SEMICOLON = re.compile(";")


def faults(sentence: str) -> list[str]:
    """Return the rules that a sentence breaks."""
    found = [rule for rule, pattern in RULES.items() if pattern.search(sentence)]
    words = sum(bool(re.search(r"[^\W_]", word)) for word in sentence.split())
    return found if words <= MAX_WORDS else [*found, f"has {words} words"]


def code_faults(sentence: str) -> list[str]:
    """Return the rules that a sentence of a docstring or comment breaks."""
    return faults(sentence) + (["has a semicolon"] if SEMICOLON.search(sentence) else [])


def in_module(source: str) -> list[Text]:
    """Return the sentences of all docstrings and comments of a module, by line."""
    return sorted(chain.from_iterable(map(sentences, chain(docstrings(source), comments(source)))))


def in_page(source: str) -> list[Text]:
    """Return the sentences of a Markdown page."""
    return list(chain.from_iterable(map(sentences, markdown(source))))


def report(file: Path, found: Iterable[tuple[Text, list[str]]]) -> Iterator[str]:
    """Yield a line for each broken rule, with its place and sentence."""
    for (line, sentence), broken in found:
        yield from (f"{file.relative_to(CHECKOUT)}:{line}: {rule}: {sentence}" for rule in broken)


def name_of(file: Path) -> str:
    """Return the name of a file's test."""
    return file.relative_to(CHECKOUT).as_posix()


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_docstrings_and_comments_are_plain_english(file: Path) -> None:
    lines = list(report(file, ((text, code_faults(text.text)) for text in in_module(file.read_text()))))
    assert not lines, "\n" + "\n".join(lines)


@pytest.mark.parametrize("file", PAGES, ids=name_of)
def test_documentation_is_plain_english(file: Path) -> None:
    lines = list(report(file, ((text, faults(text.text)) for text in in_page(file.read_text()))))
    assert not lines, "\n" + "\n".join(lines)


@pytest.mark.parametrize(
    "sentence",
    [
        "Who waits is rejected.",
        "What changes is written.",
        "(Whoever asks gets a token.)",
        "Whatever the type is, it is returned.",
        "That which is cached is returned.",
        "Those without a database.",
        "How many requests a second.",
        "It ends if nobody reads it.",
        "This is no token.",
        "The first of them is none.",
        "It rejects what is not JSON.",
        "Return it; then close.",
        "Word " * 31,
    ],
)
def test_rules_find_a_broken_sentence(sentence: str) -> None:
    assert len(code_faults(sentence.strip())) == 1


@pytest.mark.parametrize(
    "sentence",
    [
        "What does a worker do?",
        "How long does a request wait?",
        "Requests that wait too long are rejected.",
        "The session is no longer valid.",
        "This is not a token.",
        "Do nothing if `value` is None.",
        "Word " * 30,
    ],
)
def test_rules_accept_a_plain_sentence(sentence: str) -> None:
    assert code_faults(sentence.strip()) == []


def test_sentences_of_a_module_have_their_lines() -> None:
    source = (
        '"""First. Second\nline.\n\n* An item\n* with `a; b`\n"""\n\nx = 1  # noqa: E501 - third\n# Fourth\n# ends.\n'
    )
    assert in_module(source) == [
        (1, "First."),
        (1, "Second line."),
        (4, "* An item"),
        (5, "* with _"),
        (8, "third"),
        (9, "Fourth ends."),
    ]


def test_code_tables_and_targets_of_a_page_are_left_out() -> None:
    source = (
        "# Title\n\n```sh\nWhat\n```\n\n| Who | is |\n\nSee [this\npage](what.md) and `is no`.\n\n[a]: https://b.c/\n"
    )
    assert in_page(source) == [(1, "# Title"), (9, "See this page and _.")]
