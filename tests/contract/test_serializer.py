"""Results are serialized by their schemas: only declared members leave, each in the form of its schema."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from api.contract.document.operation import Json
from api.contract.schema.json_values import NotSerializable, encode
from api.contract.schema.schemas import Schemas
from api.contract.schema.serializer import Serializers

TEXT = {"type": "string"}
COMPONENTS = {
    "Pet": {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": TEXT, "name": TEXT},
        "discriminator": {"propertyName": "kind", "mapping": {"hound": "#/components/schemas/Dog"}},
    },
    "Dog": {"allOf": [{"$ref": "#/components/schemas/Pet"}, {"type": "object", "properties": {"bark": TEXT}}]},
    "Cat": {"allOf": [{"$ref": "#/components/schemas/Pet"}, {"type": "object", "properties": {"purr": TEXT}}]},
    "Circle": {"type": "object", "properties": {"shape": TEXT, "radius": {"type": "number"}}},
    "Square": {"type": "object", "properties": {"shape": TEXT, "width": {"type": "number"}}},
    "Secret": TEXT | {"writeOnly": True},
}


class Pair(NamedTuple):
    a: str
    password: str


@dataclass
class Row:
    a: str
    password: str
    b: str | None = None


class Colour(Enum):
    RED = "red"


def thing(*required: str, **properties: Any) -> Json:
    return {"type": "object", "properties": properties} | ({"required": list(required)} if required else {})


def shape(schema: Any, value: Any, version: str = "3.0.3") -> bytes:
    """Return the JSON of a value."""
    document = {"openapi": version, "components": {"schemas": COMPONENTS}}
    return encode(Serializers(Schemas(document, {})).make(schema)(value))


A, B = thing(a=TEXT), thing(b=TEXT)
SECRET = {"a": "1", "b": "2", "password": "x"}
CLOSED = {"additionalProperties": False}
REF = {"$ref": "#/components/schemas/Pet"}


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (A, SECRET, b'{"a":"1"}'),
        (A, Row("1", "x"), b'{"a":"1"}'),
        (A, Pair("1", "x"), b'{"a":"1"}'),
        (A, SimpleNamespace(**SECRET), b'{"a":"1"}'),
        ({"type": "object"}, SECRET, b"{}"),
        (thing("a"), SECRET, b"{}"),
        ({"type": "object", "properties": {"a": {"allOf": [{"not": {}}]}}}, SECRET, b"{}"),
        ({"type": "array", "items": A}, iter([SECRET]), b'[{"a":"1"}]'),
        ({"type": "array", "items": A}, (Pair("1", "x"),), b'[{"a":"1"}]'),
        ({"allOf": [A, B]}, SECRET, b'{"a":"1","b":"2"}'),
        ({"allOf": [A, B]}, Row("1", "x", "2"), b'{"a":"1","b":"2"}'),
        ({**A, "allOf": [B | CLOSED]}, SECRET, b'{"b":"2"}'),
        ({"allOf": [thing(c=A), thing(c=B)]}, {"c": SECRET}, b'{"c":{"a":"1","b":"2"}}'),
        ({"type": "object", "additionalProperties": A}, {"x": SECRET}, b'{"x":{"a":"1"}}'),
        ({"type": "object", "additionalProperties": True}, SECRET, b'{"a":"1","b":"2","password":"x"}'),
        ({**A, "additionalProperties": {"type": "integer"}}, {"a": "1", "n": 2}, b'{"a":"1","n":2}'),
        ({"oneOf": [A | CLOSED, thing("a", "b", a=TEXT, b=TEXT)]}, SECRET, b'{"a":"1","b":"2"}'),
        ({"oneOf": [thing("c", c=TEXT), thing("b", b=TEXT)]}, Row("1", "x", "2"), b'{"b":"2"}'),
        ({"anyOf": [thing("a", a=TEXT), thing("b", b=TEXT), thing("c", c=TEXT)]}, SECRET, b'{"a":"1","b":"2"}'),
        (
            {"oneOf": [thing("c", c=thing("a", a={"enum": ["2"]})), thing("c", c=thing("b", b=TEXT))]},
            {"c": SECRET},
            b'{"c":{"b":"2"}}',
        ),
        ({"oneOf": [TEXT | {"format": "date-time"}, {"type": "integer"}]}, 5, b"5"),
        (REF, {"kind": "Dog", "name": "n", "bark": "w", "purr": "p"}, b'{"kind":"Dog","name":"n","bark":"w"}'),
        (REF, {"kind": "hound", "bark": "w", "purr": "p"}, b'{"kind":"hound","bark":"w"}'),
        (REF, {"kind": "other", "bark": "w"}, b'{"kind":"other"}'),
        (REF, SimpleNamespace(kind="Cat", purr="p", bark="w"), b'{"kind":"Cat","purr":"p"}'),
        (
            {
                "oneOf": [{"$ref": "#/components/schemas/Circle"}, {"$ref": "#/components/schemas/Square"}],
                "discriminator": {"propertyName": "shape"},
            },
            {"shape": "Square", "radius": 1, "width": 2},
            b'{"shape":"Square","width":2}',
        ),
        (thing(a=TEXT | {"writeOnly": True}, b=TEXT), SECRET, b'{"b":"2"}'),
        (thing("a", a=TEXT | {"writeOnly": True}, b=TEXT), Row("1", "x", "2"), b'{"b":"2"}'),
        ({"allOf": [thing(a=TEXT), thing(a={"writeOnly": True})]}, SECRET, b"{}"),
        (thing("a", a={"$ref": "#/components/schemas/Secret"}, b=TEXT), SECRET, b'{"b":"2"}'),
        (thing("a", a={"allOf": [{"$ref": "#/components/schemas/Secret"}]}, b=TEXT), SECRET, b'{"b":"2"}'),
    ],
)
def test_only_declared_members_leave(schema: Json, value: Any, expected: bytes) -> None:
    assert shape(schema, value) == expected


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "object", "patternProperties": {"^b": TEXT}}, SECRET, b'{"b":"2"}'),
        ({**A, "patternProperties": {"^b": TEXT}}, SECRET, b'{"a":"1","b":"2"}'),
        (
            {"type": "object", "additionalProperties": True, "propertyNames": {"maxLength": 1}},
            SECRET,
            b'{"a":"1","b":"2"}',
        ),
        ({"type": "array", "prefixItems": [A], "items": B}, [SECRET, SECRET], b'[{"a":"1"},{"b":"2"}]'),
        ({"type": "array", "prefixItems": [A], "items": False}, [SECRET, SECRET], b'[{"a":"1"}]'),
        ({"type": "array", "prefixItems": [A], "unevaluatedItems": B}, [SECRET, SECRET], b'[{"a":"1"},{"b":"2"}]'),
        ({**A, "unevaluatedProperties": False}, SECRET, b'{"a":"1"}'),
        ({**A, "unevaluatedProperties": B}, {"a": "1", "c": SECRET}, b'{"a":"1","c":{"b":"2"}}'),
        ({**thing(a={"enum": ["1"]}), "if": thing(a={"enum": ["1"]}), "then": B}, SECRET, b'{"a":"1","b":"2"}'),
        ({**A, "if": thing(a={"enum": ["2"]}), "then": B, "else": thing(c=TEXT)}, SECRET, b'{"a":"1"}'),
        ({**A, "dependentSchemas": {"a": B, "c": thing(password=TEXT)}}, SECRET, b'{"a":"1","b":"2"}'),
        ({"$ref": "#/components/schemas/Circle", "properties": {"a": TEXT}}, SECRET, b'{"a":"1"}'),
        ({"enum": [{"a": 1}]}, {"a": 1}, b'{"a":1}'),
        ({"type": ["object", "array"], "properties": {"a": TEXT}, "items": A}, [SECRET], b'[{"a":"1"}]'),
        ({"type": ["object", "array"], "properties": {"a": TEXT}, "items": A}, SECRET, b'{"a":"1"}'),
        ({"type": ["string", "object"], "properties": {"a": TEXT}}, Row("1", "x"), b'{"a":"1"}'),
        ({"anyOf": [A, {"type": "null"}]}, SECRET, b'{"a":"1"}'),
        (thing(a=True, b=False), SECRET, b'{"a":"1"}'),
    ],
)
def test_the_keywords_of_openapi_3_1_choose_the_members(schema: Json, value: Any, expected: bytes) -> None:
    assert shape(schema, value, "3.1.0") == expected


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
@pytest.mark.parametrize("kind", [A, {"type": "array", "items": A}, TEXT])
def test_null_stays_null(version: str, kind: Json) -> None:
    nullable = {**kind, "nullable": True} if version == "3.0.3" else {**kind, "type": [kind["type"], "null"]}
    assert shape(nullable, None, version) == b"null"
    for row in (SimpleNamespace(a=None), {"a": None}):
        assert shape(thing("a", a=nullable), row, version) == b'{"a":null}'
        assert shape(thing(a=nullable), row, version) == b'{"a":null}'
        assert shape(thing(a=kind), row, version) == b"{}"


@pytest.mark.parametrize(
    ("version", "nullable"),
    [("3.0.3", {"nullable": True, "oneOf": [A, B]}), ("3.1.0", {"oneOf": [A, B, {"type": "null"}]})],
)
def test_null_stays_null_beside_alternatives(version: str, nullable: Json) -> None:
    assert shape(nullable, None, version) == b"null"
    assert shape(thing("a", a=nullable), {"a": None}, version) == b'{"a":null}'


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (TEXT | {"format": "date-time"}, datetime(2026, 1, 31, 12, tzinfo=UTC), b'"2026-01-31T12:00:00.000Z"'),
        (TEXT | {"format": "date"}, date(2026, 1, 31), b'"2026-01-31"'),
        (TEXT | {"format": "date"}, datetime(2026, 1, 31, 12, tzinfo=UTC), b'"2026-01-31"'),
        (TEXT | {"format": "time"}, time(12, 30, tzinfo=UTC), b'"12:30:00+00:00"'),
        (TEXT | {"format": "time"}, time(12, 30), b'"12:30:00"'),
        (TEXT | {"format": "time"}, datetime(2026, 1, 31, 12, 30, tzinfo=UTC), b'"12:30:00+00:00"'),
        (TEXT | {"format": "duration"}, timedelta(days=1, hours=2, seconds=1.5), b'"P1DT2H1.5S"'),
        (TEXT | {"format": "duration"}, timedelta(), b'"PT0S"'),
        ({"type": "number"}, timedelta(seconds=90.5), b"90.5"),
        ({"type": "integer"}, timedelta(seconds=90), b"90"),
        (TEXT, Decimal("19.90"), b'"19.90"'),
        ({"type": "number"}, Decimal("19.90"), b"19.9"),
        ({"type": "number"}, Decimal("0.1234567890123456789"), b"0.1234567890123456789"),
        ({"type": "integer"}, Decimal("5.0"), b"5"),
        ({"type": "integer"}, 5.0, b"5"),
        (TEXT | {"format": "uuid"}, UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
        (TEXT | {"enum": ["red"]}, Colour.RED, b'"red"'),
        (TEXT | {"format": "byte"}, b"\xff\x00", b'"/wA="'),
        ({"type": "integer"}, 2**64, b"18446744073709551616"),
        ({"type": "integer"}, -(10**40), b"-1" + b"0" * 40),
        (
            {},
            {"of": [date(2026, 1, 31), {"of": UUID(int=0)}]},
            b'{"of":["2026-01-31",{"of":"%s"}]}' % str(UUID(int=0)).encode(),
        ),
        ({"type": "object", "additionalProperties": True}, {Colour.RED: 2**64}, b'{"red":18446744073709551616}'),
    ],
)
def test_python_types_have_the_form_of_the_schema(schema: Json, value: Any, expected: bytes) -> None:
    assert shape(schema, value) == expected


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({"number": float("nan")}, "/number"),
        ({"number": float("-inf")}, "/number"),
        ({"number": Decimal("NaN")}, "/number"),
        ({"free": [1, {"a/b": float("inf")}]}, "/free/1/a~1b"),
        ({"free": {"s": {1}}}, "/free/s"),
        ({"free": {1.5: 1}}, "/free/1.5"),
        ({"text": "\ud800"}, "/text"),
        ({"text": {"password": "x"}}, "/text"),
        ({"text": b"x"}, "/text"),
        ({"at": date(2026, 1, 31)}, "/at"),
        ({"number": datetime(2026, 1, 31, tzinfo=UTC)}, "/number"),
        ({"things": [{"a": 1}, {}]}, "/things/1/a"),
        ({"things": {"a": 1}}, "/things"),
        ({"things": "x"}, "/things"),
        ({"things": ["x"]}, "/things/0"),
        ({"number": 10**5000}, "/number"),
    ],
)
def test_values_without_a_json_form_are_named_by_their_pointer(value: Any, pointer: str) -> None:
    schema = thing(
        number={"type": "number"},
        free={},
        text=TEXT,
        at=TEXT | {"format": "date-time"},
        things={"type": "array", "items": thing("a", a={"type": "integer"})},
    )
    with pytest.raises(NotSerializable) as error:
        shape(schema, value)
    assert error.value.pointer == pointer
    assert "password" not in str(error.value)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"oneOf": [thing("a", a={"enum": ["2"]}), thing("c", c=TEXT)]}, SECRET),
        ({"enum": [{"a": 1}]}, SECRET),
        ({"enum": ["1", 2]}, SECRET),
        ({"enum": ["1", 2]}, [SECRET]),
        ({"anyOf": [TEXT, {"type": "integer"}]}, SECRET),
        ({"allOf": [{"type": "integer"}, {"type": ["string", "integer"]}]}, UUID(int=1)),
    ],
)
def test_a_value_that_matches_no_branch_does_not_leave(schema: Json, value: Any) -> None:
    with pytest.raises(NotSerializable):
        shape(schema, value)


def test_values_that_are_too_deep_are_not_serializable() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    with pytest.raises(NotSerializable, match="nested too deeply"):
        shape({}, deep)


def test_lazy_rows_inside_composed_values_are_read_once() -> None:
    schema = {"oneOf": [thing("c", c=TEXT), thing("rows", rows={"type": "array", "items": A})]}
    make: Callable[[], Any] = lambda: (row for row in [SECRET, SECRET])  # noqa: E731
    assert shape(schema, {"rows": make()}) == b'{"rows":[{"a":"1"},{"a":"1"}]}'
