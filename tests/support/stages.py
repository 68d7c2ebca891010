"""Options of the test stages: `--quick` selects the tests of `make check`, and a skipped test fails.

A skip would count as success although the component that the test needs is missing.
"""

from collections.abc import Generator

import pytest

# These fixtures start a database server, other processes or a browser.
_SLOW_FIXTURES = {"charter", "clients", "image", "installed", "migrated", "postgres"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="run only the quick tests, on SQLite")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--quick`, deselect the tests that are marked as slow and those that run on PostgreSQL."""
    if config.getoption("quick"):
        slow = {item for item in items if _is_slow(item)}
        config.hook.pytest_deselected(items=[*slow])
        items[:] = [item for item in items if item not in slow]


def _is_slow(item: pytest.Item) -> bool:
    starts_much = not _SLOW_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))
    on_postgresql = "postgresql" in getattr(getattr(item, "callspec", None), "params", {}).values()
    return starts_much or on_postgresql or item.get_closest_marker("slow") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report a skipped test as failed. An expected failure keeps its outcome."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", _explain(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Report a skipped module as failed."""
    report = yield
    if report.skipped:
        report.outcome, report.longrepr = "failed", _explain(report)
    return report


def _explain(report: pytest.TestReport | pytest.CollectReport) -> str:
    return f"A skipped test fails, because a component that it needs is missing: {report.longreprtext}"
