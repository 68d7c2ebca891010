"""Resources, transactions and the Flask request of a handler."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import flask
import pytest
from starlette.testclient import TestClient

from api import contract
from api.contract import ContractError
from tests.support.engine import Engine, TransactionLog, returning
from tests.support.patience import PATIENCE_SECONDS


def test_handlers_receive_the_resources_they_name(engine: Engine) -> None:
    engine.resources = {"names": ["1", "2"], "unused": object()}
    engine.handlers.list_things = lambda names: [{"id": name} for name in names]  # type: ignore[attr-defined]
    assert engine.request("/things").json() == [{"id": "1"}, {"id": "2"}]


def test_returning_commits_and_raising_rolls_back(engine: Engine) -> None:
    def fail(db: TransactionLog) -> None:
        assert db is engine.transactions
        raise ValueError

    engine.handlers.list_things, engine.handlers.add_thing = returning([]), fail  # type: ignore[attr-defined]
    assert engine.request("/things").status_code == 200
    assert engine.transactions.outcomes == ["committed"]
    assert engine.request("/things", "POST").status_code == 500
    assert engine.transactions.outcomes == ["committed", "rolled back"]


def test_a_response_that_cannot_be_serialized_rolls_back(engine: Engine) -> None:
    engine.handlers.list_things = returning([object()])  # type: ignore[attr-defined]
    assert engine.request("/things").status_code == 500
    assert engine.transactions.outcomes == ["rolled back"]


def test_handlers_without_a_db_parameter_open_no_transaction(engine: Engine) -> None:
    assert engine.request("/things").status_code == 200
    assert engine.transactions.outcomes == []


def test_flask_request_has_the_path_parameters(engine: Engine) -> None:
    def handler(number: int, flag: bool, word: str) -> dict[str, Any]:
        return flask.request.view_args or {}

    engine.handlers.echo_path = handler  # type: ignore[attr-defined]
    assert engine.request("/path/1/false/ab").json() == {"number": "1", "flag": "false", "word": "ab"}


@pytest.mark.parametrize("observed", [False, True])
def test_handlers_can_use_the_flask_request_and_context(engine: Engine, observed: bool) -> None:
    def handler() -> list[dict[str, str]]:
        flask.g.seen = flask.request.headers["X-Word"]
        flask.after_this_request(mark)
        return [{"id": f"{flask.request.method} {flask.request.full_path} {flask.g.seen} {flask.current_app.name}"}]

    def mark(response: flask.Response) -> flask.Response:
        response.headers["X-Marked"] = flask.g.seen
        return response

    signals: list[object] = []
    engine.handlers.list_things = handler  # type: ignore[attr-defined]
    listener = flask.request_finished.connected_to(lambda *_, **__: signals.append(1)) if observed else nullcontext()
    with listener:
        responses = [engine.request("/things", headers={"X-Word": word}) for word in ("one", "two")]
    assert [response.json() for response in responses] == [
        [{"id": f"GET /things? {word} made"}] for word in ("one", "two")
    ]
    assert [response.headers["x-marked"] for response in responses] == ["one", "two"]
    assert len(signals) == 2 * observed


def test_nonblocking_handlers_that_use_the_database_are_rejected(engine: Engine) -> None:
    engine.handlers.list_things = contract.nonblocking(returning([]))  # type: ignore[attr-defined]
    with pytest.raises(ContractError, match="listThings is nonblocking"):
        engine.start()


def test_reads_do_not_wait_for_writes(engine: Engine) -> None:
    release, started = threading.Event(), threading.Semaphore(0)

    def write() -> None:
        started.release()
        assert release.wait(timeout=PATIENCE_SECONDS)

    engine.handlers.add_thing = write  # type: ignore[attr-defined]
    with TestClient(engine.start()) as client, ThreadPoolExecutor(40) as executor:
        responses = [executor.submit(client.post, "/things") for _ in range(40)]
        assert all(started.acquire(timeout=PATIENCE_SECONDS) for _ in range(8))
        assert client.get("/things").status_code == 200
        release.set()
        assert {response.result().status_code for response in responses} == {201}
