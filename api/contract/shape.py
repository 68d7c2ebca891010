"""Cut a result to a response schema: what the contract does not name never leaves the server."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from api import clock

Shape = Callable[[Any], Any]


def shaper(schema: dict[str, Any]) -> Shape:
    """A function that turns a row, a dataclass or a mapping into the JSON that `schema` describes.

    Members come from the schema's `properties`, by name; one that is absent raises, unless it is not required.
    """
    if schema.get("type") == "array":
        item = shaper(schema["items"])
        return lambda values: [item(value) for value in values]
    if "properties" in schema and schema.get("additionalProperties") is False:
        members = {name: shaper(part) for name, part in schema["properties"].items()}
        return _object_shape(members, frozenset(schema.get("required", ())))
    return _plain


def _object_shape(members: dict[str, Shape], required: frozenset[str]) -> Shape:
    def shape(value: Any) -> dict[str, Any]:
        read = value.__getitem__ if isinstance(value, Mapping) else lambda name: getattr(value, name)
        absent = {name for name in members.keys() - required if not _has(value, name)}
        return {name: part(read(name)) for name, part in members.items() if name not in absent}

    return shape


def _has(value: Any, name: str) -> bool:
    return name in value if isinstance(value, Mapping) else getattr(value, name, None) is not None


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return clock.rfc3339(value)
    if isinstance(value, UUID):
        return str(value)
    return value
