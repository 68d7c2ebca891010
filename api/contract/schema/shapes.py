"""The functions that turn arrays, objects and their parts into JSON, with the declared members only."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from api.contract.schema.json_values import Form, NotSerializable, free_form, is_file, key_of

Shape = Callable[[Any], Any]
"""Returns the JSON value of a result, with the declared members only."""

_MISSING = object()
_TEXTS = frozenset({bool, int, str})
_NOT_ARRAYS = (str, bytes, Mapping)
_NOT_OBJECTS = (str, bytes, bytearray, int, float, list, set, frozenset, tuple, Iterator)


def constant_shape(constants: list[Any], form: Form) -> Shape:
    """Return the serializer of a value that must be one of the constants if it has members or items."""

    def shape(value: Any) -> Any:
        shaped = free_form(value, form)
        if isinstance(shaped, dict | list) and shaped not in constants:
            raise NotSerializable("the value must be one of the contract")
        return shaped

    return shape


def item_of(array: Shape, value: Any) -> Any:
    """Return the JSON of an item by the serializer of its array."""
    try:
        items = array([value])
    except NotSerializable as error:
        raise NotSerializable(error.reason, error.pointer.removeprefix("/0")) from None
    return items[0] if items else no_item(value)


def no_item(_: Any) -> Any:
    """Raise NotSerializable for an item that the contract forbids."""
    raise NotSerializable("the schema of the array forbids the item")


def by_type(scalar: Shape, array: Shape, thing: Shape) -> Shape:
    """Return the serializer of a value whose schema allows several types."""

    def shape(value: Any) -> Any:
        if isinstance(value, Mapping) or hasattr(value, "_fields"):
            return thing(value)
        if isinstance(value, list | tuple | set | frozenset | Iterator):
            return array(value)
        try:
            return scalar(value)
        except NotSerializable:
            if thing is scalar:
                raise
        return thing(value)

    return shape


def array_shape(first: list[Shape | None], other: Shape | None) -> Shape:
    """Return the serializer of a list from those of its first items and of all others. None ends the list."""

    def shape(values: Any) -> list[Any] | None:
        if values is None:
            return None
        if type(values) is not list and (isinstance(values, _NOT_ARRAYS) or not isinstance(values, Iterable)):
            raise NotSerializable("the value must be a list")
        items: list[Any] = []
        try:
            if not first and other is not None:
                for value in values:
                    items.append(other(value))
                return items
            for value in values:
                item = first[len(items)] if len(items) < len(first) else other
                if item is None:
                    break
                items.append(item(value))
        except NotSerializable as error:
            raise error.inside(len(items)) from None
        return items

    return shape


class Member(NamedTuple):
    """A named member of an object. An optional member that must not be null is left out if it is None."""

    name: str
    shape: Shape
    is_plain: bool
    is_optional: bool
    may_be_null: bool


def object_shape(members: list[Member], others: Callable[[str], Shape | None] | None) -> Shape:
    """Return the serializer of an object. `others` finds that of a member that has no name in the contract."""
    parts = [(name, part, plain, optional, optional and not null) for name, part, plain, optional, null in members]

    def shape(value: Any) -> dict[str, Any] | None:
        if value is None:
            return None
        is_mapping = type(value) is dict or isinstance(value, Mapping)
        if not is_mapping:
            value, is_mapping = _row(value)
            if not parts and not is_mapping:
                raise NotSerializable("the schema names no members of the object")
        shaped: dict[str, Any] = {}
        name: Any = None
        try:
            for name, part, is_plain, is_optional, leaves_none_out in parts:
                member = value.get(name, _MISSING) if is_mapping else getattr(value, name, _MISSING)
                # The type check is faster than a call.
                if is_plain and type(member) in _TEXTS:
                    shaped[name] = member
                elif member is _MISSING:
                    _check_optional(is_optional)
                elif member is not None or not leaves_none_out:
                    shaped[name] = part(member)
            if others is not None and is_mapping:
                for name, member in value.items():
                    other = others(key := key_of(name))
                    if other is not None:
                        shaped[key] = other(member)
        except NotSerializable as error:
            raise error.inside(name) from None
        return shaped

    return shape


def _check_optional(is_optional: bool) -> None:
    if not is_optional:
        raise NotSerializable("the required member is missing")


def _row(value: Any) -> tuple[Any, bool]:
    """Return a value with members, and True if it is a mapping: named tuples and rows of SQLAlchemy become mappings."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict(), True
    if isinstance(value, _NOT_OBJECTS) or is_file(value):
        raise NotSerializable("the value must be an object")
    return value, False
