"""Rows of `application/x-ndjson` and the schemas of their lines."""

from typing import Any

import pytest

from tests.contract.test_handler_results import SECRET, THING, contract, response
from tests.support.engine import SHARED, Engine, returning

ROWS = f"{{type: array, items: {THING}}}"
COUNTS = "{type: array, items: {type: integer}}"
LINE = b'{"id":"1"}\n'


def send(engine: Engine, schema: str, rows: object, version: str = "3.0.3") -> Any:
    """Return the response whose lines are these rows."""
    engine.write(SHARED.replace("3.0.3", version), "openapi.yaml")
    engine.write(contract(response(f"application/x-ndjson: {{schema: {schema}}}")))
    engine.handlers.list_things = returning(rows)  # type: ignore[attr-defined]
    return engine.request("/things")


@pytest.mark.parametrize(
    ("schema", "rows", "body"),
    [
        (f"{{allOf: [{ROWS}]}}", [SECRET, SECRET], LINE * 2),
        (f"{{allOf: [{ROWS}, {{maxItems: 9}}], nullable: true}}", iter([SECRET]), LINE),
        (f"{{oneOf: [{ROWS}, {COUNTS}]}}", [SECRET, SECRET], LINE * 2),
        (f"{{oneOf: [{ROWS}, {COUNTS}]}}", [1, 2], b"1\n2\n"),
        (f"{{items: {THING}}}", [SECRET], LINE),
        (f"{{oneOf: [{COUNTS}, {THING}]}}", [[1], SECRET], b"[1]\n" + LINE),
    ],
)
def test_lines_are_the_items_of_an_array_or_the_value(engine: Engine, schema: str, rows: object, body: bytes) -> None:
    assert send(engine, schema, rows).content == body


@pytest.mark.parametrize("schema", [f"{{allOf: [{ROWS}]}}", f"{{oneOf: [{ROWS}, {COUNTS}]}}"])
def test_rows_that_a_composed_array_does_not_allow_fail(engine: Engine, schema: str) -> None:
    assert send(engine, schema, [{}]).status_code == 500


def test_the_first_lines_may_have_schemas_of_their_own(engine: Engine) -> None:
    schema = f"{{type: array, prefixItems: [{{type: integer}}], items: {THING}}}"
    assert send(engine, schema, [7, SECRET, SECRET], "3.1.0").content == b"7\n" + LINE * 2


@pytest.mark.parametrize("composed", ["{}", "{{oneOf: [{}, {{type: array, items: {{type: boolean}}}}]}}"])
def test_lines_that_the_schema_forbids_never_leave(engine: Engine, composed: str) -> None:
    schema = composed.format("{type: array, items: false}")
    assert send(engine, schema, ["x"], "3.1.0").status_code == 500
    schema = "{type: array, prefixItems: [{type: integer}], items: false}"
    assert send(engine, schema, [7], "3.1.0").content == b"7\n"
    assert send(engine, schema, [7, 8], "3.1.0").status_code == 500
