"""The keywords that differ from those of jsonschema: patterns, numbers, equality, and the direction of a value.

Each function has the signature that jsonschema requires. It yields one error for each violation.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import islice
from typing import Any, cast

from jsonschema import ValidationError

from api.contract.document.operation import Json
from api.contract.schema.memoization import once
from api.contract.schema.patterns import compile_pattern

Errors = Iterator[ValidationError]
Keyword = Callable[[Any, Any, Any, Any], Iterable[ValidationError]]

# An error takes 0.1 to 0.3 ms, and 64 kB can have 30,000.
MOST_ERRORS = 1000


def identity_of(value: Any) -> Any:
    """Return a hashable value that is equal for equal JSON values: 1 equals 1.0, and true does not equal 1."""
    if isinstance(value, bool):
        return bool, value
    if isinstance(value, list):
        return list, tuple(identity_of(item) for item in value)
    if isinstance(value, dict):
        return dict, frozenset((name, identity_of(member)) for name, member in value.items())
    return value


def are_unique(values: list[Any]) -> bool:
    """Return True if no two of the values are equal JSON."""
    return len({identity_of(value) for value in values}) == len(values)


def is_multiple(number: Any, factor: Any) -> bool:
    """Return True if a number is a multiple of another one in decimal notation, such as 19.99 of 0.01."""
    if type(number) is int and type(factor) is int:
        return number % factor == 0
    try:
        return (_exact(number) / _exact(factor)).denominator == 1
    except (OverflowError, ValueError):
        # Infinity and NaN are not multiples of anything.
        return False


def _exact(number: Any) -> Fraction:
    return Fraction(repr(number) if isinstance(number, float) else number)


def has_length_in_bounds(text: str, schema: Json) -> bool:
    """Return True if a text has a length that its schema allows."""
    length = len(text)
    return bool(schema.get("minLength", length) <= length <= schema.get("maxLength", length))


def subschema(validator: Any, schema: Any) -> Any:
    """Return the validator of a schema inside the schema of `validator`."""
    resolver = validator._resolver
    if isinstance(schema, dict) and isinstance(schema.get("$id"), str):
        resolver = resolver.in_subresource(validator.SPECIFICATION.create_resource(schema))
    return validator.evolve(schema=schema, _resolver=resolver)


def target(validator: Any, reference: str) -> Any:
    """Return the validator of the schema that a reference refers to."""
    found = validator._resolver.lookup(reference)
    return validator.evolve(schema=found.contents, _resolver=found.resolver)


def in_place(validator: Any) -> Iterator[Any]:
    """Yield the validators of all schemas that apply to the same value in any case: `$ref` and `allOf`."""
    pending, seen = [validator], set()
    while pending:
        part = pending.pop()
        if not isinstance(part.schema, dict) or id(part.schema) in seen:
            continue
        seen.add(id(part.schema))
        yield part
        applied = dict(part.APPLICABLE(part.schema))
        if "$ref" in applied:
            pending.append(target(part, applied["$ref"]))
        pending += [subschema(part, schema) for schema in applied.get("allOf", ())]


def hidden_names(validator: Any) -> set[str]:
    """Return the properties that a value in this direction must not have, such as those with `readOnly`."""
    return {
        name
        for part in in_place(validator)
        for name, schema in part.schema.get("properties", {}).items()
        if is_hidden(part, schema)
    }


def is_hidden(validator: Any, schema: Any) -> bool:
    """Return True if a value in this direction must not have the property with `schema`, which is inside another."""
    if not isinstance(schema, dict):
        return False
    if "$ref" in schema or "allOf" in schema:
        inner = subschema(validator, schema)
        # OpenAPI 3.0 ignores the keywords beside `$ref`.
        return any(dict(part.APPLICABLE(part.schema)).get(part.HIDDEN) is True for part in in_place(inner))
    return schema.get(validator.HIDDEN) is True


def _inside(validator: Any, instance: Json, name: str, schema: Any) -> Errors:
    if schema is False:
        # jsonschema would leave out the name.
        yield ValidationError("", validator="", validator_value=False, schema=False, path=(name,))
    else:
        yield from validator.descend(instance[name], schema, path=name, schema_path=name)


def _properties(validator: Any, properties: Json, instance: Any, schema: Json) -> Errors:
    if not isinstance(instance, dict):
        return
    for name, part in properties.items():
        if name not in instance:
            continue
        if is_hidden(validator, part):
            yield ValidationError("", validator=validator.HIDDEN, validator_value=True, schema=part, path=(name,))
        else:
            yield from _inside(validator, instance, name, part)


def _required(validator: Any, names: list[str], instance: Any, schema: Json) -> Errors:
    if isinstance(instance, dict) and (missing := [name for name in names if name not in instance]):
        hidden = hidden_names(validator)
        if missing := [name for name in missing if name not in hidden]:
            yield ValidationError("", validator="required", validator_value=missing)


def _all_of(validator: Any, schemas: list[Any], instance: Any, schema: Json) -> Errors:
    hidden: set[str] | None = None
    for number, part in enumerate(schemas):
        for error in validator.descend(instance, part, schema_path=number):
            if error.validator == "required" and not error.path:
                # One part may require a property that another part declares as read-only.
                hidden = hidden_names(validator) if hidden is None else hidden
                error.validator_value = [name for name in error.validator_value if name not in hidden]
            if error.validator_value != []:
                yield error


def _reference(validator: Any, reference: str, instance: Any, schema: Json) -> Errors:
    """The keywords `$ref` and `$dynamicRef`. A part of a value is read again only through one of them."""

    def errors() -> list[ValidationError]:
        found = validator._validate_reference(ref=reference, instance=instance)
        # Parts of `allOf` may find the same error, which doubles the number of errors at each level.
        return list({_identity(error): error for error in islice(found, MOST_ERRORS)}.values())

    if not isinstance(instance, dict | list):
        yield from errors()
        return
    # The target of `$dynamicRef` depends on the documents around it.
    scope = tuple(address for address, _ in validator._resolver.dynamic_scope())
    # jsonschema adds to the path of each error.
    yield from map(ValidationError.create_from, once((id(schema), reference, scope), instance, errors))


def _identity(error: ValidationError) -> Hashable:
    names = tuple(cast(list[str], error.validator_value)) if error.validator == "required" else ()
    return error.validator, tuple(error.path), id(error.schema), names


def _pattern(validator: Any, pattern: str, instance: Any, schema: Json) -> Errors:
    # A text that is too long gets that fault only: the time of a search can grow faster than the text.
    if not isinstance(instance, str) or len(instance) > schema.get("maxLength", len(instance)):
        return
    if compile_pattern(pattern)(instance):
        return
    # A pattern beside a format with a code of its own is a part of that format.
    if "x-format-code" not in schema or has_length_in_bounds(instance, schema):
        yield ValidationError("")


def _format(validator: Any, name: str, instance: Any, schema: Json) -> Errors:
    # A text of a wrong length gets that fault only: checking the format of 64 kB of accents takes a second.
    if isinstance(instance, str) and not has_length_in_bounds(instance, schema):
        return
    if not validator.format_checker.conforms(instance, name) and _has_type(validator, instance, schema):
        yield ValidationError("")


def _has_type(validator: Any, instance: Any, schema: Json) -> bool:
    # A value of a wrong type gets that fault only.
    return "type" not in schema or not list(validator.VALIDATORS["type"](validator, schema["type"], instance, schema))


def other_names(instance: Json, schema: Json) -> list[str]:
    """Return the names of a value that neither `properties` nor `patternProperties` mentions."""
    named, searches = schema.get("properties", {}), list(map(compile_pattern, schema.get("patternProperties", ())))
    return [name for name in instance if name not in named and not any(search(name) for search in searches)]


def _additional_properties(validator: Any, others: Any, instance: Any, schema: Json) -> Errors:
    if not isinstance(instance, dict) or others is True:
        return
    names = other_names(instance, schema)
    if others is False and names:
        yield ValidationError("")
    elif others is not False:
        for name in names:
            yield from _inside(validator, instance, name, others)


def _pattern_properties(validator: Any, patterns: Json, instance: Any, schema: Json) -> Errors:
    for pattern, part in patterns.items() if isinstance(instance, dict) else ():
        search = compile_pattern(pattern)
        for name in instance:
            if search(name):
                yield from _inside(validator, instance, name, part)


def _property_names(validator: Any, names: Any, instance: Any, schema: Json) -> Errors:
    checked = subschema(validator, names)
    if isinstance(instance, dict) and not all(checked.is_valid(name) for name in instance):
        yield ValidationError("")


def _multiple_of(validator: Any, factor: Any, instance: Any, schema: Json) -> Errors:
    if validator.is_type(instance, "number") and not is_multiple(instance, factor):
        yield ValidationError("")


def _unique_items(validator: Any, wanted: bool, instance: Any, schema: Json) -> Errors:
    if wanted and isinstance(instance, list) and not are_unique(instance):
        yield ValidationError("")


def _enum(validator: Any, values: list[Any], instance: Any, schema: Json) -> Errors:
    if identity_of(instance) not in map(identity_of, values):
        yield ValidationError("")


def _const(validator: Any, value: Any, instance: Any, schema: Json) -> Errors:
    if identity_of(instance) != identity_of(value):
        yield ValidationError("")


def nullable_type(validator: Any, name: Any, instance: Any, schema: Json) -> Errors:
    """The keyword `type` of OpenAPI 3.0, with `nullable`."""
    names = [name] if isinstance(name, str) else name
    is_null = instance is None and schema.get("nullable") is True
    if not is_null and not any(validator.is_type(instance, kind) for kind in names):
        yield ValidationError("")


def dependent_required(validator: Any, dependencies: Json, instance: Any, schema: Json) -> Errors:
    """The keyword `dependentRequired`."""
    for name, required in dependencies.items() if isinstance(instance, dict) else ():
        if name in instance:
            for error in _required(validator, required, instance, schema):
                yield ValidationError("", validator="dependentRequired", validator_value=error.validator_value)


def contains(validator: Any, item: Any, instance: Any, schema: Json) -> Errors:
    """The keyword `contains`, with `minContains` and `maxContains`."""
    if not isinstance(instance, list):
        return
    checked = subschema(validator, item)
    count = sum(checked.is_valid(value) for value in instance)
    if count < schema.get("minContains", 1):
        yield ValidationError("", validator="minContains", validator_value=schema.get("minContains", 1))
    elif count > schema.get("maxContains", count):
        yield ValidationError("", validator="maxContains", validator_value=schema["maxContains"])


COMMON: Mapping[str, Keyword] = {
    "$ref": _reference,
    "additionalProperties": _additional_properties,
    "allOf": _all_of,
    "enum": _enum,
    "format": _format,
    "multipleOf": _multiple_of,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "properties": _properties,
    "required": _required,
    "uniqueItems": _unique_items,
}
"""The keywords of both versions."""

LATER: Mapping[str, Keyword] = {
    "$dynamicRef": _reference,
    "const": _const,
    "contains": contains,
    "dependentRequired": dependent_required,
    "propertyNames": _property_names,
}
"""The keywords of OpenAPI 3.1."""
