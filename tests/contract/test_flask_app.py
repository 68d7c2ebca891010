"""Handlers run in Flask: its contexts, hooks, signals and error handlers work."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import flask
import httpx
import pytest
from connexion import ConnexionMiddleware
from flask import signals
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from api.contract import ContractError, nonblocking, runs_in
from api.contract.dispatch.flask_app import ContractFlask
from api.contract.dispatch.handlers import HandlerDispatch
from api.handlers import system

RUNNING = {"status": "running"}


@pytest.fixture
def config(sqlite_config: Config) -> Config:
    return sqlite_config


@pytest.fixture
def request_ping(config: Config, monkeypatch: pytest.MonkeyPatch) -> Callable[..., httpx.Response]:
    """A function that replaces the handler of `ping` and sends one request."""

    def request_ping(
        handler: Callable[[], Any], *, prepare: Callable[[ContractFlask], object] = lambda _: None
    ) -> httpx.Response:
        monkeypatch.setattr(system, "ping", handler)
        app = create_app(config)
        prepare(flask_app_of(app))
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:
            response: httpx.Response = client.get("/ping", headers={"X-Test": "yes"})
            return response

    return request_ping


def flask_app_of(app: ConnexionMiddleware) -> ContractFlask:
    (handlers,) = (layer for layer in app.middleware_stack if isinstance(layer, HandlerDispatch))
    return handlers.flask


def check_flask_context() -> dict[str, str]:
    """Check everything that Flask sets up for a request, and that nothing is left from the request before."""
    assert flask.has_request_context()
    assert flask.has_app_context()
    assert (flask.request.method, flask.request.path, flask.request.headers["X-Test"]) == ("GET", "/ping", "yes")
    assert "Host" not in flask.request.headers
    assert flask.request.endpoint is not None
    assert flask.url_for(flask.request.endpoint, _external=False) == "/ping"
    assert not hasattr(flask.g, "seen")
    flask.g.seen = True
    assert not flask.session
    assert flask.current_app.name == "api.handlers"
    return RUNNING


# The lambda keeps the mark of a nonblocking handler off `check_flask_context`.
HANDLERS = [check_flask_context, nonblocking(lambda: check_flask_context())]  # noqa: PLW0108


@pytest.mark.parametrize("handler", HANDLERS)
def test_each_request_gets_a_new_flask_context(
    request_ping: Callable[..., httpx.Response], handler: Callable[[], Any]
) -> None:
    assert [request_ping(handler).status_code for _ in range(2)] == [200, 200]
    assert not flask.has_request_context()
    assert not flask.has_app_context()


def test_after_this_request_runs_in_a_handler(request_ping: Callable[..., httpx.Response]) -> None:
    def ping() -> dict[str, str]:
        @flask.after_this_request
        def keep(response: flask.Response) -> flask.Response:
            response.headers["Cache-Control"] = "no-store"
            seen.append(response.get_json())
            return response

        return RUNNING

    seen: list[Any] = []
    assert request_ping(ping).json() == RUNNING
    assert seen == [RUNNING]


SIGNALS = (
    signals.appcontext_popped,
    signals.appcontext_pushed,
    signals.appcontext_tearing_down,
    signals.request_finished,
    signals.request_started,
    signals.request_tearing_down,
)


def hooks(call: Callable[..., None]) -> Iterator[Callable[[ContractFlask], object]]:
    """Yield functions that register `call`, one for each hook and signal of Flask."""

    def after(response: flask.Response) -> flask.Response:
        call()
        return response

    yield lambda app: app.before_request(call)
    yield lambda app: app.after_request(after)
    yield lambda app: app.teardown_request(call)
    yield lambda app: app.teardown_appcontext(call)
    yield lambda app: app.url_value_preprocessor(call)
    for signal in SIGNALS:
        yield partial(signal.connect, call)


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("number", range(11))
def test_flask_hooks_run_around_a_handler(
    request_ping: Callable[..., httpx.Response], handler: Callable[[], Any], number: int
) -> None:
    calls = []

    def call(*_: object, **__: object) -> None:
        calls.append(number)

    response = request_ping(handler, prepare=list(hooks(call))[number])
    assert (response.status_code, response.json(), calls) == (200, RUNNING, [number])


def test_flask_error_handlers_create_the_response(request_ping: Callable[..., httpx.Response]) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    def prepare(app: ContractFlask) -> None:
        app.register_error_handler(ZeroDivisionError, lambda _: flask.jsonify(RUNNING))

    response = request_ping(fail, prepare=prepare)
    assert (response.status_code, response.json()) == (200, RUNNING)


def test_nonblocking_handlers_with_blocking_resources_are_rejected(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reads(db: object) -> dict[str, str]:
        return RUNNING

    def hashes(hasher: object) -> dict[str, str]:
        return RUNNING

    for handler, name in ((reads, "db"), (hashes, "hasher")):
        monkeypatch.setattr(system, "ping", nonblocking(handler))
        with pytest.raises(ContractError, match=f"ping is nonblocking, but would wait for {name}"):
            create_app(config)


def hashes_unmarked(hasher: object) -> dict[str, str]:
    return RUNNING


@runs_in("elsewhere")
def hashes_elsewhere(hasher: object) -> dict[str, str]:
    return RUNNING


@runs_in("hashing")
def hashes_nothing() -> dict[str, str]:
    return RUNNING


@pytest.mark.parametrize(
    ("handler", "required"),
    [
        (hashes_unmarked, '@runs_in("hashing")'),
        (hashes_elsewhere, '@runs_in("hashing")'),
        (hashes_nothing, "no @runs_in"),
    ],
)
def test_handlers_must_be_marked_with_the_executor_of_their_resources(
    config: Config, monkeypatch: pytest.MonkeyPatch, handler: Callable[..., Any], required: str
) -> None:
    monkeypatch.setattr(system, "ping", handler)
    with pytest.raises(ContractError, match=re.escape(f"ping: the resources of the handler require {required}")):
        create_app(config)


def test_async_handlers_are_rejected(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ping() -> dict[str, str]:
        return RUNNING

    monkeypatch.setattr(system, "ping", ping)
    with pytest.raises(ContractError, match="ping has an async handler"):
        create_app(config)
