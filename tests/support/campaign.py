"""One run of Schemathesis against a live server, and its findings."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx
from schemathesis import Case, Response
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.openapi import from_dict

from tests.support.fuzzed import HELD, Session, session_of
from tests.support.paths import CHECKOUT

CONFIG = CHECKOUT / "schemathesis.toml"
# Each session must show all of these in any order, then its end, and then a rejection.
DONE = ("refreshTokens 200", "getProfile 200")
JOURNEY = re.compile("".join(rf"(?=.*{step} .*logOut 204 )" for step in DONE) + ".*logOut 204 .* 401")

ADMINISTRATION = {"events", "mails", "oauth", "services", "users"}
"""The tags of the operations that no journey of a user has. With their links, chance rarely finishes one."""

# Chance may leave every journey unfinished in one round, but not in ten.
ROUNDS = 10


class Step(NamedTuple):
    """One request and its response."""

    operation_id: str
    response: Response
    session: Session | None

    def __str__(self) -> str:
        return f"{self.operation_id} {self.response.status_code}"


@dataclass
class Campaign:
    """A run of all phases and all checks, with `examples` per operation. The same `seed` repeats the run.

    More `rounds` of the last phase follow until a journey is complete. Without `fuzzes`, no random bodies are sent.
    """

    seed: int
    examples: int
    rounds: int = ROUNDS
    fuzzes: bool = True
    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    phases: dict[str, Status] = field(default_factory=dict)
    checks: set[str] = field(default_factory=set)
    faults: set[str] = field(default_factory=set)
    journeys: int = 0

    def run(self, server: str) -> None:
        """Fuzz the server at this base URL with the contract that it publishes."""
        config = SchemathesisConfig.from_path(CONFIG)
        config.projects.default.update(base_url=server)
        config.projects.default.generation.update(max_examples=self.examples)
        # Given a URL, Schemathesis would leave out the operation that returns the document.
        document = httpx.get(f"{server}/openapi.json").json()
        if not self.fuzzes:
            config.projects.default.phases.update(phases=["examples", "coverage", "stateful"])
        schema, of_users = (from_dict(each, config=config) for each in (document, _without_administration(document)))
        for seed in range(self.seed, self.seed + self.rounds):
            config.update(seed=seed, max_failures=None)
            for event in from_schema(schema if seed == self.seed else of_users).execute():
                self._see(event)
            if self.journeys or self.faults:
                return
            schema.config.phases.update(phases=["stateful"])

    def _see(self, event: events.EngineEvent) -> None:
        if isinstance(event, events.FatalError):
            self.faults.add(repr(event.exception))
        elif isinstance(event, events.NonFatalError):
            self.faults.add(f"{event.label}: {event.info.format()}")
        elif isinstance(event, events.PhaseFinished):
            self.phases.setdefault(event.phase.name.value, event.status)
        elif isinstance(event, events.ScenarioFinished):
            self._record(event.recorder)

    def _record(self, recorder: ScenarioRecorder) -> None:
        self.checks |= {check.name for checks in recorder.checks.values() for check in checks}
        self.faults |= set(_failures(recorder))
        self.journeys += sum(JOURNEY.search(trail) is not None for trail in _trails(recorder))
        for step in _steps(recorder).values():
            self.statuses[step.operation_id][step.response.status_code] += 1

    @property
    def replay(self) -> str:
        """Return the command that repeats this run."""
        return f"make fuzz SEED={self.seed} EXAMPLES={self.examples}"

    def __str__(self) -> str:
        requests = sum(counter.total() for counter in self.statuses.values())
        lines = [f"{self.replay}: {requests} requests, {self.journeys} whole journeys, {len(self.faults)} faults"]
        for operation_id, counter in sorted(self.statuses.items()):
            statuses = "  ".join(f"{status}: {times}" for status, times in sorted(counter.items()))
            lines.append(f"  {operation_id:<16} {statuses}")
        return "\n\n".join(["\n".join(lines), *sorted(self.faults)])


def _without_administration(document: dict[str, Any]) -> dict[str, Any]:
    paths = {
        path: item
        for path, item in deepcopy(document["paths"]).items()
        if not any(ADMINISTRATION & {*operation.get("tags", [])} for operation in item.values() if "tags" in operation)
    }
    return document | {"paths": paths}


def _failures(recorder: ScenarioRecorder) -> Iterator[str]:
    for checks in recorder.checks.values():
        for check in checks:
            if check.failure_info is not None:
                yield f"{check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample}"


def _steps(recorder: ScenarioRecorder) -> dict[str, Step]:
    """Return the step of each case, in the order of the requests."""
    return {
        case_id: _step(recorder.cases[case_id].value, interaction.response)
        for case_id, interaction in recorder.interactions.items()
        if interaction.response is not None
    }


def _step(case: Case[Any], response: Response) -> Step:
    return Step(case.operation.definition.raw["operationId"], response, session_of(case, response))


def _trails(recorder: ScenarioRecorder) -> Iterator[str]:
    """Yield the steps of each session of a new user, such as `getProfile 200 logOut 204`."""
    steps = _steps(recorder)
    for case_id, step in steps.items():
        came_from = steps.get(recorder.cases[case_id].parent_id or "")
        if str(step) == "logIn 200" and str(came_from) == "signUp 201":
            session = HELD[step.response.json()["refresh_token"]]
            yield " ".join(str(later) for later in steps.values() if later.session == session)
