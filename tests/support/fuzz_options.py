"""Options of the fuzz tests and of long tests, and the command that repeats a test with a random seed."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", default="1,2", help="the seeds for fuzzing, such as 1,2,random")
    parser.addoption("--long", action="store_true", help="run the soak tests of rate limits in their full length")
    parser.addoption("--examples", type=int, default=5, help="the number of examples per operation and seed")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "rng" in metafunc.fixturenames:
        metafunc.parametrize("rng", metafunc.config.getoption("seeds").split(","), indirect=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the command that repeats each test with a random seed, whether the test passed or not."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, command in report.user_properties:
                terminalreporter.write_line(f"{report.nodeid}: {name} with {command}")
