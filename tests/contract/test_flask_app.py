"""A handler runs on Flask: its context is there for whoever looks at it, and all that Flask offers around a view."""

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
from api.contract import ContractError, nonblocking
from api.contract.dispatch.flask_app import ContractFlask
from api.contract.dispatch.handlers import HandlerDispatch
from api.handlers import system

RUNNING = {"status": "running"}


@pytest.fixture
def config(sqlite_config: Config) -> Config:
    return sqlite_config


@pytest.fixture
def asked(config: Config, monkeypatch: pytest.MonkeyPatch) -> Callable[..., httpx.Response]:
    """Serve `ping` by another handler; a thread runs it, or the event loop."""

    def ask(
        handler: Callable[[], Any], *, prepare: Callable[[ContractFlask], object] = lambda _: None
    ) -> httpx.Response:
        monkeypatch.setattr(system, "ping", handler)
        app = create_app(config)
        prepare(flask_of(app))
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:
            answer: httpx.Response = client.get("/ping", headers={"X-Asked": "yes"})
            return answer

    return ask


def flask_of(app: ConnexionMiddleware) -> ContractFlask:
    (handlers,) = (layer for layer in app.middleware_stack if isinstance(layer, HandlerDispatch))
    return handlers.flask


def look() -> dict[str, str]:
    """Looks at everything that Flask puts in place, and finds it new."""
    assert flask.has_request_context()
    assert flask.has_app_context()
    assert (flask.request.method, flask.request.path, flask.request.headers["X-Asked"]) == ("GET", "/ping", "yes")
    assert "Host" not in flask.request.headers
    assert flask.request.endpoint is not None
    assert flask.url_for(flask.request.endpoint, _external=False) == "/ping"
    assert not hasattr(flask.g, "seen")
    flask.g.seen = True
    assert not flask.session
    assert flask.current_app.name == "api.handlers"
    return RUNNING


@pytest.mark.parametrize("handler", [look, nonblocking(lambda: look())])  # noqa: PLW0108 - the mark would be on `look`
def test_what_flask_puts_in_place_is_there_and_new_at_each_request(
    asked: Callable[..., httpx.Response], handler: Callable[[], Any]
) -> None:
    assert [asked(handler).status_code for _ in range(2)] == [200, 200]
    assert not flask.has_request_context()
    assert not flask.has_app_context()


def test_who_asks_for_the_answer_in_the_view_gets_it(asked: Callable[..., httpx.Response]) -> None:
    def ping() -> dict[str, str]:
        @flask.after_this_request
        def keep(response: flask.Response) -> flask.Response:
            response.headers["Cache-Control"] = "no-store"
            seen.append(response.get_json())
            return response

        return RUNNING

    seen: list[Any] = []
    assert asked(ping).json() == RUNNING
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
    """Each way to be called around a view."""

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


@pytest.mark.parametrize("handler", [look, nonblocking(lambda: look())])  # noqa: PLW0108
@pytest.mark.parametrize("number", range(11))
def test_who_wants_to_be_called_around_a_view_is(
    asked: Callable[..., httpx.Response], handler: Callable[[], Any], number: int
) -> None:
    calls = []

    def call(*_: object, **__: object) -> None:
        calls.append(number)

    answer = asked(handler, prepare=list(hooks(call))[number])
    assert (answer.status_code, answer.json(), calls) == (200, RUNNING, [number])


def test_an_error_handler_of_flask_answers(asked: Callable[..., httpx.Response]) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    def prepare(app: ContractFlask) -> None:
        app.register_error_handler(ZeroDivisionError, lambda _: flask.jsonify(RUNNING))

    answer = asked(fail, prepare=prepare)
    assert (answer.status_code, answer.json()) == (200, RUNNING)


def test_a_handler_that_says_it_never_waits_cannot_ask_for_what_it_would_wait_for(
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


def test_a_handler_that_would_have_to_be_awaited_is_refused(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ping() -> dict[str, str]:
        return RUNNING

    monkeypatch.setattr(system, "ping", ping)
    with pytest.raises(ContractError, match="ping has an async handler"):
        create_app(config)
