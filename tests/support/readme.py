"""The fenced blocks of the documentation, for the tests that execute them.

A test selects a block with a literal and executes it. `block("charter serve ")` is the block that begins with this
text. `blocks("docs/tour.md")` are all blocks of a page. `blocks("README.md", "Try it")` are the blocks of a section.
test_readme fails if no test selects a block.
"""

import re
from typing import NamedTuple

from tests.support.paths import CHECKOUT

PAGES = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md")])
DOCUMENTS = "\n".join(file.read_text() for file in PAGES)


def page(path: str) -> str:
    """Return the text of a page, by its path in the checkout."""
    return (CHECKOUT / path).read_text()


def section(path: str, title: str) -> str:
    """Return the text of a page below a heading of the second level."""
    _, heading, rest = page(path).partition(f"\n## {title}\n")
    assert heading, f"{path} has no section {title}"
    return rest.partition("\n## ")[0]


class Block(NamedTuple):
    """A fenced block, with the line before it."""

    before: str
    language: str
    text: str


def blocks_in(text: str) -> list[Block]:
    """Return the fenced blocks of a text."""
    found = list(re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    fences = re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE)
    assert len(fences) == 2 * len(found), "each fence must be ``` at the start of a line"
    return [Block(text[: block.start()].rstrip().rpartition("\n")[2], *block.groups()) for block in found]


def blocks(path: str, title: str = "") -> list[Block]:
    """Return the fenced blocks of a page, or of one of its sections."""
    return blocks_in(section(path, title) if title else page(path))


def block(start: str) -> Block:
    """Return the one fenced block that begins with this text."""
    (found,) = (block for block in blocks_in(DOCUMENTS) if block.text.startswith(start))
    return found
