"""The parts of forms of the type `multipart/form-data`."""

from typing import Any

from tests.support.bodies import faults, part, send, serve
from tests.support.engine import Engine

LIMITED = "{anyOf: [{type: integer, maximum: 5}, {type: string, maxLength: 3}]}"


def serve_parts(engine: Engine, properties: str, encoding: str = "") -> None:
    """Serve POST /x with a form that has these parts."""
    schema = f"{{type: object, properties: {{{properties}}}}}"
    serve(engine, f"{{multipart/form-data: {{schema: {schema}, encoding: {{{encoding}}}}}}}")


def body_of(engine: Engine, *parts: bytes) -> Any:
    response = send(engine, *parts)
    assert response.status_code == 200, response.text
    return response.json()["body"]


def test_a_part_may_be_a_number_or_a_string(engine: Engine) -> None:
    serve_parts(engine, f"p: {LIMITED}, q: {{type: array, items: {LIMITED}}}")
    assert body_of(engine, part("p", "12"), part("q", "5"), part("q", "6")) == {"p": "12", "q": [5, "6"]}
    assert body_of(engine, part("p", "5"), part("other", "5")) == {"p": 5, "other": "5"}
    assert faults(send(engine, part("p", "1234"))) == ["/body/p TOO_LARGE"]
