"""One run of Schemathesis against a live server, and what it saw."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from schemathesis import Response
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.openapi import from_dict

CONFIG = Path(__file__).parent.parent / "schemathesis.toml"
# With one token, after its user signed up.
JOURNEY = re.compile(r"getProfile 200 .*logOut 204 .*(getProfile|protected) 401")


@dataclass
class Campaign:
    """All phases and all checks, with `examples` for each operation; the same `seed` makes the same run."""

    seed: int
    examples: int
    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    phases: dict[str, Status] = field(default_factory=dict)
    checks: set[str] = field(default_factory=set)
    faults: set[str] = field(default_factory=set)
    journeys: int = 0

    def run(self, server: str) -> None:
        """Fuzz the server at this base URL by the contract it publishes."""
        config = SchemathesisConfig.from_path(CONFIG)
        config.update(seed=self.seed, max_failures=None)
        config.projects.default.update(base_url=server)
        config.projects.default.generation.update(max_examples=self.examples)
        # From a URL, Schemathesis would leave out the operation that answers with the document.
        document = httpx.get(f"{server}/openapi.json").json()
        for event in from_schema(from_dict(document, config=config)).execute():
            self._see(event)

    def _see(self, event: events.EngineEvent) -> None:
        if isinstance(event, events.FatalError):
            self.faults.add(repr(event.exception))
        elif isinstance(event, events.NonFatalError):
            self.faults.add(f"{event.label}: {event.info.format()}")
        elif isinstance(event, events.PhaseFinished):
            self.phases[event.phase.name.value] = event.status
        elif isinstance(event, events.ScenarioFinished):
            self._look_into(event.recorder)

    def _look_into(self, recorder: ScenarioRecorder) -> None:
        self.checks |= {check.name for checks in recorder.checks.values() for check in checks}
        self.faults |= set(_failures(recorder))
        self.journeys += sum(JOURNEY.search(trail) is not None for trail in _trails(recorder))
        for operation_id, answer in _answers(recorder):
            self.statuses[operation_id][answer.status_code] += 1

    @property
    def replay(self) -> str:
        """The command that makes the same run again."""
        return f"make fuzz SEED={self.seed} EXAMPLES={self.examples}"

    def __str__(self) -> str:
        requests = sum(counter.total() for counter in self.statuses.values())
        lines = [f"{self.replay}: {requests} requests, {self.journeys} whole journeys, {len(self.faults)} faults"]
        for operation_id, counter in sorted(self.statuses.items()):
            statuses = "  ".join(f"{status}: {times}" for status, times in sorted(counter.items()))
            lines.append(f"  {operation_id:<16} {statuses}")
        return "\n\n".join(["\n".join(lines), *sorted(self.faults)])


def _failures(recorder: ScenarioRecorder) -> Iterator[str]:
    for checks in recorder.checks.values():
        for check in checks:
            if check.failure_info is not None:
                yield f"{check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample}"


def _answers(recorder: ScenarioRecorder) -> Iterator[tuple[str, Response]]:
    """Each answer behind the operation that gave it, in the order of the requests."""
    for case_id, interaction in recorder.interactions.items():
        if interaction.response is not None:
            yield _operation_id(recorder, case_id), interaction.response


def _operation_id(recorder: ScenarioRecorder, case_id: str) -> str:
    return str(recorder.cases[case_id].value.operation.definition.raw["operationId"])


def _trails(recorder: ScenarioRecorder) -> Iterator[str]:
    """What was done with each token of somebody who had just signed up, such as `getProfile 200 logOut 204`."""
    for token in _newcomers(recorder):
        yield " ".join(
            f"{operation_id} {answer.status_code}"
            for operation_id, answer in _answers(recorder)
            if answer.request.headers.get("Authorization") == f"Bearer {token}"
        )


def _newcomers(recorder: ScenarioRecorder) -> Iterator[str]:
    """The tokens that were got along the link from a sign-up."""
    for case_id, node in recorder.cases.items():
        answer = recorder.find_response(case_id=case_id)
        signed_up = recorder.find_response(case_id=node.parent_id or "")
        if answer and signed_up and (signed_up.status_code, answer.status_code) == (201, 200):
            yield answer.json()["access_token"]
