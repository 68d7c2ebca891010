"""The sentences of docstrings, comments and Markdown pages."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from typing import NamedTuple


class Text(NamedTuple):
    """A piece of prose and the number of its first line."""

    line: int
    text: str


def docstrings(source: str) -> Iterator[Text]:
    """Yield each docstring, and each other string that is a statement of its own. Diagrams are not prose."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield Text(node.lineno, re.sub(r"^.*[─│].*$", "", node.value.value, flags=re.MULTILINE))


def comments(source: str) -> Iterator[Text]:
    """Yield each comment. Lines of comment below each other are one comment."""
    block: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if block and token.start != (block[-1].start[0] + 1, block[-1].start[1]):
                yield _comment(block)
                block = []
            block.append(token)
    if block:
        yield _comment(block)


def markdown(source: str) -> Iterator[Text]:
    """Yield the prose of a page: all of it but code blocks, tables, HTML comments and the targets of links."""
    for pattern in (r"^```.*?^```$", r"<!--.*?-->", r"^\|.*?$", r"^\[[^\]\n]+\]: .*?$"):
        source = re.sub(pattern, _blank, source, flags=re.DOTALL | re.MULTILINE)
    yield Text(1, re.sub(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])", r"\1", source))


def sentences(prose: Text) -> Iterator[Text]:
    """Yield the sentences of a text, with `_` in place of each code span. Each item of a list starts a sentence."""
    text = re.sub(r"(`+)[^`].*?\1", lambda span: "_" + _blank(span), prose.text, flags=re.DOTALL)
    for sentence in _SENTENCE.finditer(text):
        yield Text(prose.line + text.count("\n", 0, sentence.start()), " ".join(sentence[0].split()))


_SENTENCE = re.compile(
    r"""\S.*?(?:
        (?<!e\.g)(?<!i\.e)[.!?]["')\]*]*(?=\s)   # the end of a sentence
        | (?=\n\s*\n | \n\s*(?:[*-]|\d+\.)\s)    # the end of a paragraph or of an item
        | \Z
    )""",
    re.DOTALL | re.VERBOSE,
)


def _comment(block: list[tokenize.TokenInfo]) -> Text:
    directives = r"^#[:!]?|noqa: [A-Z0-9, ]+(?:- )?|type: ignore(?:\[[\w, -]*\])?"
    return Text(block[0].start[0], "\n".join(re.sub(directives, "", token.string) for token in block))


def _blank(match: re.Match[str]) -> str:
    return "\n" * match[0].count("\n")
