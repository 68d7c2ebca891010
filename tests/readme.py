"""The fenced blocks of the documentation, for the tests that hold it to its word.

A test accounts for a block by asking for it with a literal and doing what it says: `block("charter serve ")` is the one
that begins so, `blocks("A tour")` are all of a section. test_readme fails for a block that no test asks for.
"""

import re
from typing import NamedTuple

from tests.places import CHECKOUT

README = (CHECKOUT / "README.md").read_text()
DOCUMENTS = "\n".join(file.read_text() for file in (*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md")))


class Block(NamedTuple):
    """A fenced block, and the line before it."""

    before: str
    language: str
    text: str


def blocks_in(text: str) -> list[Block]:
    """The fenced blocks of a text."""
    found = list(re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    fences = re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE)
    assert len(fences) == 2 * len(found), "a fence is ```, and nothing stands before it"
    return [Block(text[: block.start()].rstrip().rpartition("\n")[2], *block.groups()) for block in found]


def blocks(section: str) -> list[Block]:
    """The fenced blocks of a section."""
    return blocks_in(DOCUMENTS.partition(f"\n## {section}\n")[2].partition("\n## ")[0])


def block(start: str) -> Block:
    """The one fenced block that begins so."""
    (found,) = (block for block in blocks_in(DOCUMENTS) if block.text.startswith(start))
    return found
