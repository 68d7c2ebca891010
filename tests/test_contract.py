"""Schemathesis holds the application to its contract: examples, coverage, fuzzing, and journeys along the links."""

from collections import defaultdict
from collections.abc import Iterator

import pytest
from connexion import ConnexionMiddleware
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.openapi import from_dict

from api import contract
from api.config import folder

CONTRACT = contract.load(folder("openapi"))
EXAMPLES = 100

pytestmark = pytest.mark.filterwarnings("default")


def test_every_answer_is_what_the_contract_says(app: ConnexionMiddleware, pytestconfig: pytest.Config) -> None:
    config = SchemathesisConfig.from_path(pytestconfig.rootpath / "schemathesis.toml")
    config.projects.default.generation.update(max_examples=EXAMPLES)
    schema = from_dict(CONTRACT.document, config=config)
    schema.app = app
    statuses = defaultdict(set)
    for event in from_schema(schema).execute():
        assert not isinstance(event, events.FatalError | events.NonFatalError), event
        if isinstance(event, events.ScenarioFinished):
            recorder = event.recorder
            failures = list(_failures(recorder))
            assert not failures, failures[0]
            for case_id, interaction in recorder.interactions.items():
                if interaction.response is not None:
                    operation_id = recorder.cases[case_id].value.operation.definition.raw["operationId"]
                    statuses[operation_id].add(interaction.response.status_code)
    # An operation that never succeeded was not fuzzed: something stood in front of it.
    for _, _, operation in CONTRACT.operations():
        assert int(contract.success(operation)) in statuses[operation["operationId"]], operation["operationId"]


def _failures(recorder: ScenarioRecorder) -> Iterator[str]:
    for checks in recorder.checks.values():
        for check in checks:
            if check.failure_info is not None:
                yield f"{check.failure_info.failure}\n{check.failure_info.code_sample}"
