"""The links in the documentation point to existing files and headings."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.paths import CHECKOUT
from tests.support.readme import PAGES

LINKED = [*PAGES, CHECKOUT / "benchmarks/RESULTS.md"]


def prose(text: str) -> str:
    """Return a page without its code."""
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)


def links(text: str) -> list[str]:
    """Return the targets of all links and images, inline ones and references."""
    inline = re.findall(r"\]\(([^()\s]+)\)", prose(text))
    return inline + re.findall(r"^\[[^\]]+\]: +(\S+)$", prose(text), re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors that a forge gives to the headings of a page."""
    headings = re.findall(
        r"^#+ +(.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken(page: Path, link: str) -> str | None:
    """Return the fault of a link of a page, or None."""
    target = urlsplit(link)
    if target.scheme:
        return None if target.scheme == "https" and "." in target.netloc else f"{link}: not an https link"
    file = (page.parent / target.path).resolve() if target.path else page
    if not file.exists() or not file.is_relative_to(CHECKOUT):
        return f"{link}: no such file"
    if target.fragment and target.fragment not in anchors(file.read_text()):
        return f"{link}: no such heading"
    return None


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_each_link_points_to_a_file_and_a_heading(page: Path) -> None:
    assert [fault for link in links(page.read_text()) if (fault := broken(page, link))] == []


def test_reference_links_are_defined() -> None:
    for page in LINKED:
        text = prose(page.read_text())
        used = re.findall(r"(?<![\]\w!])\[([^\]\n]+)\](?![(:\w])", text)
        defined = re.findall(r"^\[([^\]]+)\]:", text, re.MULTILINE)
        assert [name for name in used if name not in defined and name.strip() not in {"", "x"}] == [], page


def test_each_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [CHECKOUT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        found = [(page.parent / urlsplit(link).path).resolve() for link in links(page.read_text()) if ":" not in link]
        waiting += [file for file in found if file.suffix == ".md" and file not in reached]
    assert reached >= set(LINKED)


@pytest.mark.parametrize("link", ["nowhere.md", "README.md#nowhere", "http://example.org", "../outside.md", "#nowhere"])
def test_a_broken_link_is_detected(link: str) -> None:
    page = CHECKOUT / "README.md"
    assert links(f"See [this]({link}) and `[code](nowhere.md)`.\n```\n[code](nowhere.md)\n```\n") == [link]
    assert broken(page, link)
