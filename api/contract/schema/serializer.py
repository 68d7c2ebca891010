"""Serialize a result by its response schema. Members that the contract does not name never leave the server.

`composition.py` finds the schemas that apply to a value. This module turns them into functions, each once.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from operator import is_
from typing import Any, cast

from api.contract.document.operation import NOTHING, Json
from api.contract.schema.allowed import is_array
from api.contract.schema.building import Building
from api.contract.schema.composition import Composition, Pieces
from api.contract.schema.json_values import ANY, Form, NotSerializable, free_form, to_json
from api.contract.schema.memoization import once
from api.contract.schema.schemas import Schemas
from api.contract.schema.shapes import (
    Member,
    Shape,
    array_shape,
    by_type,
    constant_shape,
    item_of,
    no_item,
    object_shape,
)

_OBJECT = {
    "properties",
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "required",
    "minProperties",
    "maxProperties",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedProperties",
}
_ARRAY = {"items", "prefixItems", "contains", "minItems", "maxItems", "uniqueItems", "unevaluatedItems"}
# A name that `properties` does not contain, because no member has this name.
_ANY_OTHER = "\x00"


class Serializers:
    """The serializers of one document. Schemas that appear in several responses share theirs."""

    def __init__(self, schemas: Schemas) -> None:
        self.resolve = schemas.resolve
        self._check = schemas.check
        self._is_array = partial(is_array, schemas=schemas)
        self._composition = Composition(schemas, self._shape_of)
        self._made: dict[tuple[int, ...], Shape | None] = {}
        self._kept: Pieces = []
        self._building = Building()
        self._plain: set[Shape] = {free_form}
        # The validator reads a pattern as ECMA-262.
        self._pattern = cache(lambda text: schemas.response_validator({"type": "string", "pattern": text}))
        self._names = schemas.response_validator

    def make(self, schema: Any) -> Shape:
        """Return a function that turns a row, a dataclass or a mapping into the JSON that `schema` describes.

        The function reads the members by name, and raises NotSerializable if a required one is missing.
        Raises ContractError if the schema cannot be served.
        """
        self._check(schema)
        return self._make([schema])

    def make_lines(self, schema: Any) -> Callable[[int], Shape]:
        """Return the function that finds the serializer of the JSON line with a number.

        The schema describes each line, or an array of all lines.
        """
        whole = self.make(schema)
        if not self._is_array(schema):
            return lambda _: whole
        pieces = self._composition.expand([schema])
        if self._composition.varies(pieces):
            return lambda _: partial(item_of, whole)
        *first, other = [shape or no_item for shape in self._items(pieces)]
        return lambda number: first[number] if number < len(first) else other

    def _make(self, schemas: Iterable[Any]) -> Shape:
        pieces = self._composition.expand(schemas)
        if not self._composition.varies(pieces):
            return self._shape_of(pieces)

        address = tuple(map(id, pieces))

        def shape(value: Any) -> Any:
            found = None if value is None else once(address, value, lambda: self._settled(pieces, value))
            if isinstance(found, NotSerializable):
                raise found
            return found

        return shape

    def _settled(self, pieces: Pieces, value: Any) -> Any:
        # Each branch reads the value.
        value = _held(value)
        try:
            return self._shape_of(self._composition.settle(pieces, value))(value)
        except NotSerializable as error:
            return error

    def _shape_of(self, pieces: Pieces) -> Shape:
        """Return the serializer of a value to which exactly these schemas apply."""
        address = tuple(map(id, pieces))
        made = self._made.get(address)
        if made is not None:
            return made

        def build() -> None:
            self._made[address] = self._shape(pieces)

        with self._building.lock:
            if address not in self._made:
                self._made[address] = None
                # An address is unique as long as its object exists.
                self._kept += pieces
                self._building.run(build)
            return self._made[address] or self._late(address)

    def _late(self, address: tuple[int, ...]) -> Shape:
        """Return the serializer of a schema inside itself, whose own serializer is not ready yet."""

        def shape(value: Any) -> Any:
            return cast(Shape, self._made[address])(value)

        return shape

    def _shape(self, pieces: Pieces) -> Shape:
        form = _form(pieces)
        constants = [value for piece in pieces for value in _constants(piece, is_typed=form.types is not None)]
        if constants:
            return constant_shape(constants, form)
        if form.types is None and not set().union(*pieces) & (_OBJECT | _ARRAY):
            return self._as_plain(partial(free_form, form=form)) if form != ANY else free_form
        return self._typed(pieces, form)

    def _typed(self, pieces: Pieces, form: Form) -> Shape:
        kinds, scalar = form.types, self._as_plain(partial(to_json, form=form))
        array = self._array(pieces) if kinds is None or "array" in kinds else scalar
        thing = self._object(pieces) if kinds is None or "object" in kinds else scalar
        if array is thing:
            return scalar
        if kinds is not None and kinds <= {"object", "null"}:
            return thing
        if kinds is not None and kinds <= {"array", "null"}:
            return array
        return by_type(scalar, array, thing)

    def _as_plain(self, shape: Shape) -> Shape:
        self._plain.add(shape)
        return shape

    def _array(self, pieces: Pieces) -> Shape:
        *first, other = self._items(pieces)
        return array_shape(first, other)

    def _items(self, pieces: Pieces) -> list[Shape | None]:
        """Return the serializers of the first items of a list, each with its own schema, and of all others."""
        fixed = max((len(piece.get("prefixItems", ())) for piece in pieces), default=0)
        return [self._item(pieces, number) for number in range(fixed + 1)]

    def _item(self, pieces: Pieces, number: int) -> Shape | None:
        """Return the serializer of the item with this number, or None if the schemas forbid the item."""
        found = [schema for piece in pieces if (schema := _item_schema(piece, number)) is not None]
        for piece in pieces:
            evaluating = self._composition.applied(piece, pieces) if "unevaluatedItems" in piece else ()
            # An item that matches `contains` is evaluated, too.
            if evaluating and all(_item_schema(part, number) is None and "contains" not in part for part in evaluating):
                found.append(piece["unevaluatedItems"])
        if not found:
            return self._make([])
        return None if any(map(self._forbids, found)) else self._make(found)

    def _object(self, pieces: Pieces) -> Shape:
        required = frozenset(name for piece in pieces for name in piece.get("required", ()))
        named = [[*piece.get("properties", ()), *piece.get("required", ())] for piece in pieces]
        names = dict.fromkeys(name for group in named for name in group)
        declared = {name: schemas for name in names if (schemas := self._member(pieces, name)) is not None}
        members = []
        for name, schemas in declared.items():
            part = self._make(schemas)
            optional = name not in required
            members.append(Member(name, part, part in self._plain, optional, self._composition.allows_null(schemas)))
        return object_shape(members, self._others(pieces, frozenset(names)))

    def _member(self, pieces: Pieces, name: str) -> list[Any] | None:
        """Return the schemas of a member, or None if it must not leave."""
        described = {id(piece): list(self._schemas_of(piece, name)) for piece in pieces}
        found = [schema for schemas in described.values() for schema in schemas]
        for piece in pieces:
            evaluating = self._composition.applied(piece, pieces) if "unevaluatedProperties" in piece else ()
            if evaluating and not any(described[id(part)] for part in evaluating):
                found.append(piece["unevaluatedProperties"])
        if not found or any(map(self._forbids, found)) or not self._is_name(pieces, name):
            return None
        return None if self._composition.is_write_only(found) else found

    def _forbids(self, schema: Any) -> bool:
        """Return True for the schema `false`, also behind a reference or in `allOf`."""
        pieces = self._composition.expand([schema, self.resolve(schema)])
        return schema is False or any(piece == NOTHING or False in piece.get("allOf", ()) for piece in pieces)

    def _schemas_of(self, piece: Json, name: str) -> Iterator[Any]:
        own, patterns = piece.get("properties", {}), piece.get("patternProperties", {})
        matching = [part for pattern, part in patterns.items() if not self._pattern(pattern).errors(name)]
        yield from [own[name]] if name in own else ()
        yield from matching
        if name not in own and not matching and "additionalProperties" in piece:
            yield piece["additionalProperties"]

    def _is_name(self, pieces: Pieces, name: str) -> bool:
        rules = [piece["propertyNames"] for piece in pieces if "propertyNames" in piece]
        return not any(self._names(rule).errors(name) for rule in rules)

    def _others(self, pieces: Pieces, names: frozenset[str]) -> Callable[[str], Shape | None] | None:
        """Return the function that finds the serializer of a member that `properties` does not name.

        Return None if such a member never leaves.
        """
        if not any(_is_open(piece) for piece in pieces):
            return None
        if any("patternProperties" in piece or "propertyNames" in piece for piece in pieces):
            return lambda name: None if name in names else self._other(pieces, name)
        # Without patterns, all these members have the same schemas.
        fixed = self._other(pieces, _ANY_OTHER)
        return lambda name: None if name in names else fixed

    def _other(self, pieces: Pieces, name: str) -> Shape | None:
        schemas = self._member(pieces, name)
        return None if schemas is None else self._make(schemas)


def _held(value: Any) -> Any:
    """Return a value that can be read several times."""
    if isinstance(value, dict):
        members = {name: _held(member) for name, member in value.items()}
        return value if all(map(is_, members.values(), value.values())) else members
    if isinstance(value, list | Iterator):
        items = [_held(item) for item in value]
        return value if isinstance(value, list) and all(map(is_, items, value)) else items
    return value


def _item_schema(piece: Json, number: int) -> Any:
    prefix = piece.get("prefixItems", ())
    return prefix[number] if number < len(prefix) else piece.get("items")


def _constants(piece: Json, *, is_typed: bool) -> list[Any]:
    """Return the values of `enum` and `const`, if one of them has members or items, or if no type excludes those."""
    values = [*piece.get("enum", ()), *([piece["const"]] if "const" in piece else ())]
    return values if not is_typed or any(isinstance(value, dict | list) for value in values) else []


def _is_open(piece: Any) -> bool:
    beside = (piece.get(name, False) for name in ("additionalProperties", "unevaluatedProperties"))
    return "patternProperties" in piece or any(part is not False for part in beside)


def _form(pieces: Pieces) -> Form:
    types: frozenset[str] | None = None
    for piece in pieces:
        if "type" in piece:
            own = piece["type"] if isinstance(piece["type"], list) else [piece["type"]]
            # Each integer is a number.
            wide = {*own, "integer"} if "number" in own else {*own}
            types = frozenset(wide if types is None else types & wide)
    formats = [piece["format"] for piece in pieces if "format" in piece]
    encodings = [piece["contentEncoding"] for piece in pieces if "contentEncoding" in piece]
    return Form(types, formats[0] if formats else None, encodings[0] if encodings else None)
