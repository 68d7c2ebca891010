"""What every stage of the tests has in common: a skipped test fails, and `--quick` leaves out what is slow.

A skipped test would count as passed, although a component is missing that it needs.
"""

from collections.abc import Iterator

import pytest

SLOW_FIXTURES = {"postgres", "installed", "image"}
"""Fixtures that start a database server or processes of their own."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="run the quick tests only, on SQLite")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that are marked as slow, and those that run on PostgreSQL."""
    if config.getoption("quick"):
        slow = [item for item in items if _is_slow(item)]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
