"""The outermost layer holds every answer against the contract; it reports, and changes nothing."""

from collections.abc import Callable

import flask
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from api.contract import serve
from api.handlers import system
from tests.conftest import Violations

RUNNING = {"status": "running"}


@pytest.mark.parametrize(
    ("ping", "status", "violation"),
    [
        (lambda: {"status": "broken"}, 200, "the body/status breaks enum"),
        (lambda: {}, 200, "the body breaks required"),
        (lambda: flask.abort(418), 418, "ping does not declare the status 418"),
        (lambda: (RUNNING, {"X-Powered-By": "x"}), 200, "the header x-powered-by is not declared"),
        (lambda: (RUNNING, {"Cache-Control": "public"}), 200, "the header cache-control breaks enum"),
    ],
)
def test_what_breaks_the_contract_is_reported_and_sent_all_the_same(
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    violations: Violations,
    ping: Callable[[], object],
    status: int,
    violation: str,
) -> None:
    # Answers are cut to the contract; only without the knife can they break it.
    monkeypatch.setattr(serve, "shaper", lambda _: lambda value: value)
    monkeypatch.setattr(system, "ping", ping)
    with TestClient(create_app(config)) as client:
        assert client.get("/ping").status_code == status
    found = [fact["violation"] for fact in violations.found]
    violations.found.clear()
    assert violation in found
