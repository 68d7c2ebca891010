"""Schemathesis tests a live server against its contract: examples, coverage, fuzzing and link sequences."""

import secrets
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest
from schemathesis.checks import CHECKS
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.engine import Status
from schemathesis.openapi import from_dict

from api import contract
from api.app import create_app
from api.config import Config
from api.storage.database import Database
from tests.support import fuzzed
from tests.support.admins import dead_mail
from tests.support.campaign import CONFIG, Campaign
from tests.support.codes import code_for
from tests.support.databases import DATABASES, settings
from tests.support.roles import make_admin
from tests.support.serving import serving
from tests.support.shipped import CONTRACT
from tests.support.success import success_of
from tests.support.violations import Violations

SUCCESSES = {operation.id: int(success_of(operation)) for operation in CONTRACT.operations()}
LIMITED = {operation.id for operation, _ in contract.limited(CONTRACT)}

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("all_features")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    seeds = metafunc.config.getoption("seeds").split(",")
    if "seed" not in metafunc.fixturenames:
        return
    if "kind" in metafunc.fixturenames:
        # The seeds alternate between the databases.
        metafunc.parametrize(("kind", "seed"), list(zip(cycle(DATABASES), seeds, strict=False)))
    else:
        metafunc.parametrize("seed", seeds[:1])


@pytest.fixture
def config(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    """The settings, with a database of this kind."""
    return settings(request.getfixturevalue(DATABASES[kind]), tmp_path)


@pytest.mark.slow
def test_every_response_conforms_to_the_contract(
    server: str,
    config: Config,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    violations: Violations,
    seed: str,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    campaign = Campaign(number(seed), pytestconfig.getoption("examples"))
    record_property("replay", campaign.replay)
    monkeypatch.setattr(fuzzed, "ISSUERS", [lambda operation, name: code_for(operation, config, database, name)])
    monkeypatch.setattr(fuzzed, "PROMOTERS", [lambda name: make_admin(config, name)])
    monkeypatch.setattr(fuzzed, "DEAD_MAILS", [lambda: dead_mail(config, database)])
    campaign.run(server)
    report = str(campaign)
    print(f"\n{report}")
    assert campaign.faults == set(), report
    assert violations.found == [], report
    assert [status for status in statuses(campaign) if status == 429 or status >= 500] == [], report
    # Without these assertions, a skipped operation, check or phase would go unnoticed.
    assert {name for name, status in SUCCESSES.items() if not campaign.statuses[name][status]} == set(), report
    assert {*CHECKS.get_all_names()} - campaign.checks == set(), report
    for phase in ("examples", "coverage", "fuzzing", "stateful"):
        assert campaign.phases[phase] is Status.SUCCESS, report
    assert campaign.journeys > 0, report


def test_a_403_is_expected_for_operations_that_users_may_not_call() -> None:
    document = deepcopy(CONTRACT.document)
    document["paths"]["/protected"]["get"]["x-scopes"] = ["users:read"]
    schema = from_dict(document, config=SchemathesisConfig.from_path(CONFIG))
    accepted = {}
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        checks = schema.config.checks_config_for(operation=operation)
        of_invalid, of_valid = checks.negative_data_rejection, checks.positive_data_acceptance
        refused = {*of_invalid.expected_statuses} & {*of_valid.expected_statuses}
        accepted[operation.definition.raw["operationId"]] = "403" in refused
    users = CONTRACT.roles["user"] | CONTRACT.service_scopes
    others = {operation.id for operation in CONTRACT.operations() if not users.issuperset(operation.scopes)}
    assert {name for name, may_be_refused in accepted.items() if may_be_refused} == others | {"protected"}


# More examples and rounds would get 429s only. Random bodies meet the same limits as the bodies of the other phases.
# The number of refusals varies with the loaded modules, because Hypothesis uses their constants as examples.
FEW = 12


# A slow run must not refill the budgets.
@pytest.mark.usefixtures("still")
@pytest.mark.slow
def test_a_run_with_the_default_rate_limits_finds_nothing(
    sqlite_config: Config, violations: Violations, seed: str, record_property: Callable[[str, object], None]
) -> None:
    campaign = Campaign(number(seed), examples=FEW, rounds=1, fuzzes=False)
    record_property("replay", campaign.replay)
    with serving(create_app(replace(sqlite_config, rate_limits=()))) as server:
        campaign.run(server)
    report = str(campaign)
    print(f"\n{report}")
    assert campaign.faults == set(), report
    assert violations.found == [], report
    refused = {name: counter[429] for name, counter in campaign.statuses.items() if counter[429]}
    # The names and addresses of these operations have the smallest quotas.
    assert refused.keys() >= {"signUp", "logIn"}, report
    assert refused.keys() <= LIMITED, report
    assert sum(refused.values()) > 50, report


def number(seed: str) -> int:
    return secrets.randbelow(2**32) if seed == "random" else int(seed)


def statuses(campaign: Campaign) -> set[int]:
    return {status for counter in campaign.statuses.values() for status in counter}
