"""Parse path and query parameters strictly: the exact notation of their types, each once, and no unknown names."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus

from starlette.types import Scope

from api.contract.document.operation import Json
from api.contract.schema.request_schema import faults_of
from api.contract.schema.schemas import Schemas
from api.contract.schema.strict_json import INTEGERS
from api.errors import Fault, InvalidInput

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_BOOLEANS = {"true": True, "false": False}


class Parameter:
    """One path or query parameter."""

    def __init__(self, definition: Json, schemas: Schemas) -> None:
        self.name: str = definition["name"]
        self.place: str = definition["in"]
        self.required: bool = definition.get("required", False)
        schema = schemas.resolve(definition["schema"])
        self.type: str = schema["type"]
        self.default = schema.get("default")
        self.pointer = f"/{self.place}/{self.name}"
        self._validator = schemas.request_validator(schema)

    def read(self, texts: list[str]) -> tuple[Any, list[Fault]]:
        """Return the value and its faults. Only the exact notation of the type is accepted."""
        if not texts and self.required:
            return self.default, [Fault(self.pointer, "REQUIRED", "This parameter is required.")]
        if not texts:
            return self.default, []
        if len(texts) > 1:
            return None, [Fault(self.pointer, "REPEATED", "Must be given only once.")]
        if "\x00" in texts[0]:
            return None, [Fault(self.pointer, "WRONG_FORMAT", "Must not contain a NUL character.")]
        value = self._typed(texts[0])
        return value, faults_of(self._validator.errors(value), self.pointer)

    def _typed(self, text: str) -> Any:
        if self.type == "integer" and _INTEGER.fullmatch(text) and int(text) in INTEGERS:
            return int(text)
        if self.type == "boolean":
            return _BOOLEANS.get(text, text)
        return text


class Parameters:
    """All path and query parameters of an operation. Other query parameters are rejected."""

    def __init__(self, definitions: list[Json], schemas: Schemas) -> None:
        self._parameters = [Parameter(definition, schemas) for definition in definitions]
        self._names = {parameter.name for parameter in self._parameters if parameter.place == "query"}

    def read(self, scope: Scope, faults: list[Fault]) -> dict[str, Any]:
        """Return the values by name, and append their faults to `faults`."""
        query = self._query(scope["query_string"], faults)
        values = {}
        for parameter in self._parameters:
            name = parameter.name
            texts = [scope["path_params"][name]] if parameter.place == "path" else query.get(name, [])
            values[name], found = parameter.read(texts)
            faults += found
        return values

    def _query(self, text: bytes, faults: list[Fault]) -> dict[str, list[str]]:
        if not self._names:
            faults += [Fault("/query", "UNKNOWN", "This operation has no query parameters.")] if text else []
            return {}
        query: dict[str, list[str]] = {}
        for name, value in _pairs(text):
            query.setdefault(name, []).append(value)
        if not query.keys() <= self._names:
            faults.append(Fault("/query", "UNKNOWN", f"Unknown parameter. Allowed: {', '.join(sorted(self._names))}."))
        return query


def _pairs(query: bytes) -> Iterator[tuple[str, str]]:
    for pair in query.decode("ascii").split("&") if query else ():
        name, _, value = pair.partition("=")
        try:
            yield unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")
        except UnicodeDecodeError:
            raise InvalidInput([Fault("/query", "WRONG_FORMAT", "Must be valid UTF-8.")]) from None
