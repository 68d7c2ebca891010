"""Parse the parameters of an operation strictly: the exact notation of their types, each once, and no unknown names."""

import re
from collections.abc import Callable, Collection
from copy import deepcopy
from itertools import combinations
from typing import Any

from starlette.types import Scope

from api.contract.document.arguments import argument_names, is_ignored
from api.contract.document.model import ContractError
from api.contract.document.operation import Json, Operation, media_kind
from api.contract.schema import strict_json
from api.contract.schema.defaults import NO_DEFAULT, default_of
from api.contract.schema.fault_text import escaped, unknown_name
from api.contract.schema.places import READERS, Given, read_pairs
from api.contract.schema.request_schema import faults_of
from api.contract.schema.schemas import Schemas
from api.contract.schema.styled_values import StyledValue, StyledValues
from api.contract.schema.styles import Style
from api.contract.schema.texts import TextReader
from api.errors import Fault, InvalidInput


class Parameter:
    """One parameter."""

    def __init__(self, definition: Json, argument: str, schemas: Schemas) -> None:
        self.name: str = definition["name"]
        self.place: str = definition["in"]
        self.argument = argument
        self.pointer = f"/{self.place}/{escaped(self.name)}"
        self._required: bool = definition.get("required", False)
        self._may_be_empty = definition.get("allowEmptyValue", False)
        media_type, schema = _schema_of(definition)
        self._validator = schemas.request_validator(schema)
        # The names of headers are case-insensitive.
        name = self.name.lower() if self.place == "header" else self.name
        if media_type:
            definition = {"style": "form" if self.place in {"query", "cookie"} else "simple", "explode": False}
        style = Style.of(self.place, name, definition)
        self.value = StyledValue({"type": "string"} if media_type else schema, schemas, style, self.pointer)
        self._is_json = bool(media_type) and media_kind(media_type) == "json"
        is_plain = self.value.style.style in {"form", "simple"} and len(self.value.reader.types) == 1
        is_plain = is_plain and self.value.reader.is_scalar and not media_type and not self.value.reader.has_native
        self._plain_name = name if is_plain else ""
        self._typed = TextReader(schema, schemas) if media_type else self.value.reader
        self._default = self._native_default(default_of(self._validator.exact))

    def _native_default(self, default: Any) -> Any:
        if default is NO_DEFAULT:
            return None
        try:
            if not self._validator.errors(default):
                return self._typed.native(default) if self._typed.has_native else default
        except ValueError:
            pass
        raise ContractError(f"the default of the parameter {self.name!r} does not match its schema")

    def read(self, given: Given, faults: list[Fault]) -> Any:
        """Return the value, and append its faults to `faults`. Only the exact notation of the type is accepted."""
        # The usual parameter is one text of one type, and the general way costs 4 us more.
        texts = given.texts.get(self._plain_name, ()) if self._plain_name else ()
        if len(texts) == 1 and "\x00" not in texts[0]:
            value = self._typed.read(texts[0])
            if self._validator.accepts(value):
                return value
        count = len(faults)
        readings = self.value.raw(given, faults)
        if len(faults) > count:
            return None
        if not readings:
            if self._required:
                faults.append(Fault(self.pointer, "REQUIRED", "This parameter is required."))
            return deepcopy(self._default) if isinstance(self._default, list | dict) else self._default
        if readings == [""] and self._may_be_empty:
            return ""
        if self._is_json:
            return self._parsed(str(readings[0]), faults)
        value, is_valid = self._typed.best(readings)
        return self._native(value, faults) if is_valid else self._checked(value, faults)

    def _parsed(self, text: str, faults: list[Fault]) -> Any:
        try:
            value = strict_json.parse_part(text.encode(), self.pointer)
        except InvalidInput as error:
            faults += error.faults
            return None
        return self._checked(value, faults)

    def _checked(self, value: Any, faults: list[Fault]) -> Any:
        found = faults_of(self._validator.errors(value), self.pointer)
        faults += found
        return value if found else self._native(value, faults)

    def _native(self, value: Any, faults: list[Fault]) -> Any:
        if not self._typed.has_native:
            return value
        try:
            return self._typed.native(value)
        except ValueError:
            faults.append(Fault(self.pointer, "WRONG_FORMAT", "Must be a date and a time that exist."))
            return None


def _schema_of(definition: Json) -> tuple[str, Json]:
    """Return the media type of the parameter's `content` and its schema. The media type is empty without `content`."""
    if "content" not in definition:
        return "", definition.get("schema", {})
    ((media_type, content),) = definition["content"].items()
    if media_type != "text/plain" and media_kind(media_type) != "json":
        raise ContractError(f"the parameter {definition['name']!r} must be JSON or text/plain, not {media_type}")
    return media_type, content.get("schema", {})


class Parameters:
    """All parameters of an operation. Unknown query parameters are rejected, unknown headers and cookies ignored.

    `keys` are the query parameters that security reads.
    """

    def __init__(self, operation: Operation, schemas: Schemas, keys: Collection[str] = ()) -> None:
        arguments = argument_names(operation)
        declared = sorted(name for place, name in arguments if place == "path")
        if declared != sorted(re.findall("{([^{}]*)}", operation.path)):
            raise ContractError("path parameters and {placeholders} must match")
        definitions = [definition for definition in operation.parameters if not is_ignored(definition)]
        self._parameters: list[tuple[str, Parameter]] = []
        for definition in definitions:
            place, name = definition["in"], definition["name"]
            self._parameters.append((place, Parameter(definition, arguments[place, name], schemas)))
        query = {parameter.name: parameter.value for place, parameter in self._parameters if place == "query"}
        _check_spread(query)
        self._query = StyledValues(query, keys)
        self._has_query = bool(query or keys)
        self._keeps_raw = any({"array", "object"} & value.reader.types for value in query.values())
        places = {place for place, _ in self._parameters}
        self._others: dict[str, Callable[[Scope], Given]] = {
            place: read for place, read in READERS.items() if place in places
        }

    def read(self, scope: Scope, faults: list[Fault]) -> dict[str, Any]:
        """Return the values by their names in Python, and append their faults to `faults`."""
        if not self._parameters and not self._has_query:
            faults += [_NO_QUERY] if scope["query_string"].strip(b"&") else []
            return {}
        given = {"query": self._read_query(scope["query_string"], faults)}
        for place, read in self._others.items():
            given[place] = read(scope)
        return {parameter.argument: parameter.read(given[place], faults) for place, parameter in self._parameters}

    def _read_query(self, text: bytes, faults: list[Fault]) -> Given:
        if not self._has_query:
            faults += [_NO_QUERY] if text.strip(b"&") else []
            return _NOTHING
        given = read_pairs(text.decode("ascii"), "/query", keep_raw=self._keeps_raw)
        if given.texts.keys() <= self._query.names:
            return given
        given = self._query.with_others(given)
        if given.others and not self._query.takes_others:
            detail = unknown_name("parameter", given.texts.keys(), sorted(self._query.names))
            faults.append(Fault("/query", "UNKNOWN", detail))
        return given


def _check_spread(parameters: dict[str, StyledValue]) -> None:
    """Raise ContractError if a name in the query belongs to two parameters."""
    for (first, value), (second, other) in combinations(parameters.items(), 2):
        if clash := value.names & other.names:
            raise ContractError(f"the parameters {first!r} and {second!r} both have {min(clash)!r}")


_NOTHING = Given({}, {})
_NO_QUERY = Fault("/query", "UNKNOWN", "This operation has no query parameters.")
