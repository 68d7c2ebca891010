"""Schemathesis tests a live server against its contract: examples, coverage, fuzzing and link sequences."""

import secrets
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest
from schemathesis.checks import CHECKS
from schemathesis.engine import Status

from api import contract
from api.config import Config
from api.config.paths import resource_dir
from tests.support.campaign import Campaign
from tests.support.databases import DATABASES, settings
from tests.support.success import success_of
from tests.support.violations import Violations

CONTRACT = contract.load(resource_dir("openapi"))
SUCCESSES = {operation.id: int(success_of(operation)) for operation in CONTRACT.operations()}

pytestmark = pytest.mark.filterwarnings("default")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # The seeds alternate between the databases.
    seeds = metafunc.config.getoption("seeds").split(",")
    metafunc.parametrize(("kind", "seed"), list(zip(cycle(DATABASES), seeds, strict=False)))


@pytest.fixture
def config(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    """The settings, with a database of this kind."""
    return settings(request.getfixturevalue(DATABASES[kind]), tmp_path)


@pytest.mark.slow
def test_every_response_conforms_to_the_contract(
    server: str,
    violations: Violations,
    seed: str,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    number = secrets.randbelow(2**32) if seed == "random" else int(seed)
    campaign = Campaign(number, pytestconfig.getoption("examples"))
    record_property("replay", campaign.replay)
    campaign.run(server)
    report = str(campaign)
    print(f"\n{report}")
    assert campaign.faults == set(), report
    assert violations.found == [], report
    assert [status for counter in campaign.statuses.values() for status in counter if status >= 500] == [], report
    # Without these assertions, a skipped operation, check or phase would go unnoticed.
    assert {name for name, status in SUCCESSES.items() if not campaign.statuses[name][status]} == set(), report
    assert {*CHECKS.get_all_names()} - campaign.checks == set(), report
    for phase in ("examples", "coverage", "fuzzing", "stateful"):
        assert campaign.phases[phase] is Status.SUCCESS, report
    assert campaign.journeys > 0, report
