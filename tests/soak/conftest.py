"""Keep the shipped deadlines and the real starts of the command, because the tests of this folder test them."""

from collections.abc import Iterator

import pytest

from tests.support.fork_server import forking


@pytest.fixture(scope="session", autouse=True)
def generous_bounds() -> None:
    """Replace the fixture that extends deadlines by one that does nothing."""


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """True if the tests run in their full length, which takes minutes."""
    return bool(request.config.getoption("long"))


@pytest.fixture(scope="session", autouse=True)
def forked_commands() -> None:
    """Replace the fixture that forks the commands by one that does nothing."""


@pytest.fixture(scope="module")
def forked() -> Iterator[None]:
    """Fork the commands all the same, for tests that start many processes and measure no start."""
    with forking() as start, pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.support.charter.start", start)
        yield
