"""Serialize a result by its response schema. Members that the contract does not name never leave the server."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from api import clock
from api.contract.document.operation import Json
from api.contract.schema.schemas import Schemas

Shape = Callable[[Any], Any]

_JSON = frozenset({bool, dict, float, int, list, str, type(None)})


def make_serializer(schema: Json, schemas: Schemas) -> Shape:
    """Return a function that turns a row, a dataclass or a mapping into the JSON that `schema` describes.

    The function reads the members in the schema's `properties` by name. It raises KeyError or AttributeError if a
    required member is missing.
    """
    return _make(schema, schemas, {})


def _make(schema: Json, schemas: Schemas, made: dict[int, Shape | None]) -> Shape:
    """Return the serializer of a schema. `made` holds those of the schemas around it, None while they are made."""
    schema = schemas.resolve(schema)
    address = id(schema)
    if address not in made:
        made[address] = None
        made[address] = _shape_of(schema, schemas, made)
    return made[address] or _late(address, made)


def _late(address: int, made: dict[int, Shape | None]) -> Shape:
    """Return the serializer of a schema inside itself, whose own serializer is not ready yet."""

    def shape(value: Any) -> Any:
        return cast(Shape, made[address])(value)

    return shape


def _shape_of(schema: Json, schemas: Schemas, made: dict[int, Shape | None]) -> Shape:
    if schema.get("type") == "array":
        item = _make(schema["items"], schemas, made)
        return lambda values: [item(value) for value in values]
    if "properties" in schema and schema.get("additionalProperties") is False:
        members = {name: _make(part, schemas, made) for name, part in schema["properties"].items()}
        return _object_shape(members, frozenset(schema.get("required", ())))
    return _plain


def _object_shape(members: dict[str, Shape], required: frozenset[str]) -> Shape:
    parts = [(name, part, part is _plain, name in required) for name, part in members.items()]

    def shape(value: Any) -> dict[str, Any]:
        is_mapping = type(value) is dict or isinstance(value, Mapping)
        shaped = {}
        for name, part, is_plain, is_required in parts:
            if is_required or (name in value if is_mapping else getattr(value, name, None) is not None):
                member = value[name] if is_mapping else getattr(value, name)
                # The type check is faster than a call.
                shaped[name] = member if is_plain and type(member) in _JSON else part(member)
        return shaped

    return shape


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return clock.rfc3339(value)
    if isinstance(value, UUID):
        return str(value)
    return value
