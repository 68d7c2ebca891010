"""Serializing the results of handlers into responses."""

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from uuid import UUID

import httpx
import pytest

from tests.support.engine import PARTS, Engine, Identity, returning
from tests.support.serving import serving

ID = "019b2c9e-6d5c-7c3a-9d4e-0f6f3a1b2c3d"


def test_undeclared_properties_are_left_out_of_responses(engine: Engine) -> None:
    noon = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
    engine.handlers.list_things = lambda: [  # type: ignore[attr-defined]
        {"id": UUID(ID), "at": noon.astimezone(timezone(timedelta(hours=2))), "note": "ä", "secret": 1},
        SimpleNamespace(id="2", at=None, secret=1),
        {"id": "3"},
    ]
    response = engine.request("/things")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json() == [{"id": ID, "at": "2026-01-31T12:00:00.123Z", "note": "ä"}, {"id": "2"}, {"id": "3"}]


def test_a_response_without_a_required_property_fails(engine: Engine) -> None:
    engine.handlers.list_things = lambda: [{"note": "x"}]  # type: ignore[attr-defined]
    assert engine.request("/things").status_code == 500


def test_handlers_can_add_headers_and_repeat_one(engine: Engine) -> None:
    engine.handlers.add_thing = lambda: (None, [("Link", "<a>"), ("Link", "<b>")])  # type: ignore[attr-defined]
    response = engine.request("/things", "POST")
    assert (response.status_code, response.content) == (201, b"")
    assert response.headers.get_list("link") == ["<a>", "<b>"]
    assert "content-type" not in response.headers


def test_responses_without_content_have_no_content_headers(engine: Engine) -> None:
    engine.write(PARTS.replace("'201'", "'204'"))
    response = engine.request("/things", "POST")
    assert (response.status_code, response.content) == (204, b"")
    assert not {"content-type", "content-length"} & response.headers.keys()


def test_values_without_a_json_form_fail_in_free_form_objects(engine: Engine) -> None:
    for value in ({"of": Identity(frozenset())}, {"of": {1}}, {"of": float("nan")}, Identity(frozenset())):
        engine.handlers.echo_nothing = returning(value)  # type: ignore[attr-defined]
        assert engine.request("/path/1/true/own").status_code == 500


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("X-Word", value) for value in ("a\r\nSet-Cookie: b", "a\nb", "a\x00b")],
        *[(name, "a") for name in ("X-Word ", "X Word", "X-Word\r\n", "X-Wörd", "")],
    ],
)
def test_invalid_response_headers_fail(engine: Engine, name: str, value: str) -> None:
    engine.handlers.add_thing = returning((None, {name: value}))  # type: ignore[attr-defined]
    with serving(engine.start()) as url:
        response = httpx.post(f"{url}/things")
        assert response.status_code == 500
        assert not {"set-cookie", "x-word"} & response.headers.keys()
    assert engine.transactions.outcomes == ["rolled back"]
