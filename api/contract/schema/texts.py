"""Read the texts of parameters and forms as the values that a schema describes."""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from api.contract.document.operation import Json, object_of
from api.contract.schema.allowed import branches_of, is_open, parts_of, types_of
from api.contract.schema.notations import NOTATIONS, NoMatch
from api.contract.schema.patterns import compile_pattern
from api.contract.schema.schemas import Schemas
from api.contract.schema.validator import SchemaValidator

Raw = str | list["Raw"] | dict[str, "Raw"]
"""The texts of a value, in lists and mappings as its style defines."""

# The deepest level at which a format is found. Only deepObject and JSON have more than two levels.
_DEEPEST = 4
_NATIVE: dict[str, Callable[[str], Any]] = {
    "date": date.fromisoformat,
    "date-time": lambda text: datetime.fromisoformat(text.upper()),
    "uuid": UUID,
}
_Made = dict[tuple[int, ...], "TextReader"]
_SCALARS = frozenset({"boolean", "integer", "null", "number", "string"})


class Reading(NamedTuple):
    """A value that a text may mean. It is valid if the schema accepts it."""

    value: Any
    is_valid: bool


class TextReader:
    """Reads texts as values of a schema, in the exact notation of JSON. Other texts stay, and fail the validation."""

    def __init__(self, schema: Json, schemas: Schemas, made: "_Made | None" = None) -> None:
        self.schema = schema = object_of(schema)
        self._schemas = schemas
        # Shared by the readers inside each other, because a schema may contain itself.
        self._made: _Made = {} if made is None else made
        self._branches = branches_of(schema, schemas)
        self._declared = types_of(schema, schemas)
        self.types = self._declared or frozenset({"string"})
        self._notations = [read for name, read in NOTATIONS.items() if name in self.types]
        formats = {branch["format"] for branch in self._branches if isinstance(branch.get("format"), str)}
        self.format: str | None = formats.pop() if len(formats) == 1 else None
        self._native = _NATIVE.get(self.format or "") if "string" in self.types else None
        # A composed schema may allow other texts, such as the alternative of an enum.
        self._formatted = [
            schemas.request_test(branch)
            for branch in self._branches
            if self._native is not None and branch is not schema and "format" in branch
        ]

    def is_binary(self, *, named: bool) -> bool:
        """Return True if a part of a form is a file. `named` parts have a file name."""
        if self.format == "binary" or any("contentMediaType" in branch for branch in self._branches):
            return not any("contentEncoding" in branch for branch in self._branches)
        return named and self.is_untyped

    @property
    def is_untyped(self) -> bool:
        """True if the schema allows values of every type."""
        return self._declared is None

    @property
    def is_scalar(self) -> bool:
        """True if the schema allows values that are not a list or an object."""
        return bool(self.types & _SCALARS)

    @cached_property
    def is_open(self) -> bool:
        """True if an object may have members that the schema does not name."""
        return is_open(self.schema, self._schemas)

    @cached_property
    def names(self) -> dict[str, None]:
        """The names of the members of an object, in the order of the schema."""
        return dict.fromkeys(name for branch in self._branches for name in branch.get("properties", {}))

    @cached_property
    def _items(self) -> list["TextReader"]:
        """The readers of the first items of a list, each with its own schema, and of all others."""
        prefixes = [branch.get("prefixItems", []) for branch in self._branches]
        return [self._inner(self._item_schemas(number)) for number in range(max(map(len, prefixes), default=0) + 1)]

    def _item_schemas(self, number: int) -> list[Any]:
        prefixes = [(branch.get("prefixItems", []), branch.get("items")) for branch in self._branches]
        return [first[number] if number < len(first) else others for first, others in prefixes]

    def item(self, number: int) -> "TextReader":
        """Return the reader of the item with this number in a list."""
        return self._items[min(number, len(self._items) - 1)]

    def member(self, name: str) -> "TextReader":
        """Return the reader of a member of an object."""
        return self._members.get(name) or self._member(name)

    @cached_property
    def _members(self) -> dict[str, "TextReader"]:
        return {name: self._member(name) for name in self.names}

    def _member(self, name: str) -> "TextReader":
        found = []
        for branch in self._branches:
            patterns = branch.get("patternProperties", {}).items()
            matching = (part for pattern, part in patterns if compile_pattern(pattern)(name))
            # Of several patterns, the first determines the type. Clients choose the names, so readers must be few.
            other = next(matching, branch.get("additionalProperties"))
            found.append(branch.get("properties", {}).get(name, other))
        return self._inner(found)

    def _inner(self, found: list[Any]) -> "TextReader":
        parts = [
            self._schemas.resolve(schema) if schema.keys() == {"$ref"} else schema
            for schema in found
            if isinstance(schema, dict)
        ]
        key = tuple(map(id, parts))
        if key not in self._made:
            schema = parts[0] if len(parts) == 1 else {"anyOf": parts} if parts else {}
            self._made[key] = TextReader(schema, self._schemas, self._made)
        return self._made[key]

    def read(self, raw: Raw, *, plain: bool = False) -> Any:
        """Return the value. With `plain`, a text that can be a string is a string."""
        if isinstance(raw, str):
            return self._scalar(raw, plain)
        if isinstance(raw, list):
            return [self.item(number).read(part, plain=plain) for number, part in enumerate(raw)]
        return {name: self.member(name).read(part, plain=plain) for name, part in raw.items()}

    def _scalar(self, text: str, plain: bool) -> Any:
        if plain and "string" in self.types:
            return text
        for notation in self._notations:
            try:
                value = notation(text)
            except NoMatch:
                continue
            return text if self._is_text(text, value) else value
        return text

    def _is_text(self, text: str, other: Any) -> bool:
        """Return True if a text is valid as a string, but not as another value."""
        return "string" in self.types and not self.validator.is_valid(other) and self.validator.is_valid(text)

    def best(self, readings: list[Raw], *, plain: bool = False) -> Reading:
        """Return the first reading that is valid, or else the first one. With `plain`, strings come before others."""
        first = self.read(readings[0], plain=plain)
        if self.validator.is_valid(first):
            return Reading(first, True)
        # Most texts have one reading, whose faults the caller reports.
        others = (value for raw in readings for value in self._values(raw, plain) if value != first)
        return next((Reading(value, True) for value in others if self.validator.is_valid(value)), Reading(first, False))

    def _values(self, raw: Raw, plain: bool) -> Iterator[Any]:
        """Yield the values that the texts may mean."""
        yield self.read(raw, plain=plain)
        yield self.read(raw, plain=not plain)
        for alternative in self.alternatives if not isinstance(raw, str) else ():
            value, is_valid = alternative.best([raw], plain=plain)
            if is_valid:
                yield value

    @cached_property
    def alternatives(self) -> list["TextReader"]:
        """The readers of the schemas that `oneOf` or `anyOf` offers, which may have other types for the same member."""
        whole = object_of(self._schemas.resolve(self.schema))
        keyword = next((name for name in ("oneOf", "anyOf") if len(whole.get(name, ())) > 1), None)
        if keyword is None:
            return []
        rest = {name: part for name, part in whole.items() if name != keyword}
        options = parts_of(whole, keyword)
        schemas = [{**rest, "allOf": [*rest.get("allOf", ()), option]} for option in options]
        return [TextReader(schema, self._schemas, self._made) for schema in schemas]

    @cached_property
    def validator(self) -> SchemaValidator:
        """The validator of the schema."""
        return self._schemas.request_test(self.schema)

    @cached_property
    def has_native(self) -> bool:
        """True if values of the schema arrive as UUID, date or datetime."""
        level = known = {self: None}
        for _ in range(_DEEPEST):
            level = {part: None for reader in level for part in reader._parts() if part not in known}
            known = known | level
        return any(reader._native is not None for reader in known)

    def _parts(self) -> Iterator["TextReader"]:
        if "array" in self.types:
            yield from self._items
        if "object" in self.types:
            yield from self._members.values()

    def native(self, value: Any) -> Any:
        """Return a valid value with its UUIDs and times as Python types. Raises ValueError if a time does not exist."""
        if self._native is not None and isinstance(value, str):
            return self._converted(value, self._native) if self._has_format(value) else value
        if isinstance(value, list) and "array" in self.types:
            return [self.item(number).native(part) for number, part in enumerate(value)]
        if isinstance(value, dict) and "object" in self.types:
            return {name: self.member(name).native(part) for name, part in value.items()}
        return value

    def _converted(self, text: str, native: Callable[[str], Any]) -> Any:
        try:
            return native(text)
        except ValueError:
            if self._format_validator.is_valid(text):
                raise
            # The format belongs to an alternative that does not apply.
            return text

    @cached_property
    def _format_validator(self) -> SchemaValidator:
        return self._schemas.request_test({"type": "string", "format": self.format})

    def _has_format(self, text: str) -> bool:
        return not self._formatted or any(validator.is_valid(text) for validator in self._formatted)
