"""Read path and query parameters exactly as the contract writes their types: each once, and no other."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

from starlette.types import Scope

from api.contract.faults import SchemaCheck
from api.contract.formats import Format
from api.contract.strict_json import INTEGERS
from api.errors import Fault, InvalidInput

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_BOOLEANS = {"true": True, "false": False}


class Parameter:
    """One path or query parameter."""

    def __init__(self, definition: dict[str, Any], formats: Mapping[str, Format]) -> None:
        self.name: str = definition["name"]
        self.place: str = definition["in"]
        self.required: bool = definition.get("required", False)
        schema = definition["schema"]
        self.type: str = schema["type"]
        self.default = schema.get("default")
        self.pointer = f"/{self.place}/{self.name}"
        self._check = SchemaCheck(schema, formats)

    def read(self, texts: list[str]) -> tuple[Any, list[Fault]]:
        """The value that was sent, exactly as its type is written, and what is wrong with it."""
        if not texts:
            return self.default, [Fault(self.pointer, "REQUIRED", "It is missing.")] if self.required else []
        if len(texts) > 1:
            return None, [Fault(self.pointer, "REPEATED", "It is given more than once.")]
        if "\x00" in texts[0]:
            return None, [Fault(self.pointer, "WRONG_FORMAT", "It holds a NUL.")]
        value = self._typed(texts[0])
        return value, list(self._check.faults(value, self.pointer))

    def _typed(self, text: str) -> Any:
        if self.type == "integer" and _INTEGER.fullmatch(text) and int(text) in INTEGERS:
            return int(text)
        if self.type == "boolean":
            return _BOOLEANS.get(text, text)
        return text


class Parameters:
    """All path and query parameters of an operation, and no other."""

    def __init__(self, definitions: list[dict[str, Any]], formats: Mapping[str, Format]) -> None:
        self._parameters = [Parameter(definition, formats) for definition in definitions]
        self._names = {parameter.name for parameter in self._parameters if parameter.place == "query"}

    def read(self, scope: Scope, faults: list[Fault]) -> dict[str, Any]:
        """The values by name; what is wrong with them goes into `faults`."""
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
            # What is not taken is not worth reading.
            faults += [Fault("/query", "UNKNOWN", "No query parameters are taken.")] if text else []
            return {}
        query: dict[str, list[str]] = {}
        for name, value in _pairs(text):
            query.setdefault(name, []).append(value)
        if not query.keys() <= self._names:
            faults.append(Fault("/query", "UNKNOWN", f"Only these are taken: {', '.join(sorted(self._names))}."))
        return query


def _pairs(query: bytes) -> Iterator[tuple[str, str]]:
    for pair in query.decode("ascii").split("&") if query else ():
        name, _, value = pair.partition("=")
        try:
            yield unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")
        except UnicodeDecodeError:
            raise InvalidInput([Fault("/query", "WRONG_FORMAT", "It is not UTF-8.")]) from None
