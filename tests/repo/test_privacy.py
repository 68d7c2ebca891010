"""docs/privacy.md names what stores personal data, and the settings about it."""

import re

from tests.support.readme import page, section
from tests.support.user_rows import USER_COLUMNS


def test_the_page_names_each_table_with_rows_of_a_user() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section("docs/privacy.md", "In the database"), re.MULTILINE)
    assert set(rows) == {table.name for table, _ in USER_COLUMNS}, "docs/privacy.md needs a row for each"


def test_the_page_is_linked_from_the_readme() -> None:
    assert "(docs/privacy.md)" in page("README.md")
