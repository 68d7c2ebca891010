"""The dialects of JSON Schema: that of OpenAPI 3.0, and 2020-12 of OpenAPI 3.1, for requests and for responses."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import attrs
from jsonschema import Draft4Validator, Draft202012Validator
from jsonschema.validators import extend
from referencing import Resource, Specification
from referencing.jsonschema import DRAFT4, DRAFT202012

from api.contract.document.objects import DATA
from api.contract.document.operation import Json
from api.contract.document.version import is_3_1
from api.contract.schema.keywords import COMMON, LATER, nullable_type
from api.contract.schema.unevaluated import unevaluated_items, unevaluated_properties


class Dialect(NamedTuple):
    """The validators of one version of OpenAPI, and how it resolves references."""

    request: Any
    response: Any
    specification: Specification[Any]


def dialect_of(document: Json) -> Dialect:
    """Return the dialect of a document by its version."""
    return _OF_3_1 if is_3_1(document) else _OF_3_0


def _evolve(validator: Any, *, schema: Any, _resolver: Any = None) -> Any:
    # The method of jsonschema takes three times as long, and changes the class for a schema with `$schema`.
    resolver = validator._resolver if _resolver is None else _resolver
    return type(validator)(schema, format_checker=validator.format_checker, _resolver=resolver)


def _with_own_keywords(base: Any, keywords: Mapping[str, Any], specification: Any, hidden: str) -> Any:
    made: Any = extend(base, {**COMMON, **keywords})  # type: ignore[no-untyped-call]
    made.evolve = _evolve
    made.HIDDEN = hidden
    made.NULLABLE = base is Draft4Validator
    made.SPECIFICATION = specification
    made.APPLICABLE = staticmethod(base._APPLICABLE_VALIDATORS)
    return made


def _dialect(base: Any, keywords: Mapping[str, Any], specification: Specification[Any]) -> Dialect:
    """Return a dialect. A request must not have `readOnly` properties, and a response no `writeOnly` ones."""
    request, response = (
        _with_own_keywords(base, keywords, specification, hidden) for hidden in ("readOnly", "writeOnly")
    )
    return Dialect(request, response, specification)


def _subresources(contents: Any) -> Iterable[Any]:
    if isinstance(contents, dict) and "openapi" in contents:
        return _schemas_in(contents)
    return DRAFT202012.subresources_of(contents)


def _schemas_in(node: Any) -> Iterator[Any]:
    """Yield the outermost schemas of a document."""
    if isinstance(node, list):
        for item in node:
            yield from _schemas_in(item)
    elif isinstance(node, dict):
        for name, part in node.items():
            if name in {"schema", "schemas"}:
                parts = part.values() if name == "schemas" and isinstance(part, dict) else [part]
                yield from (schema for schema in parts if isinstance(schema, dict | bool))
            elif name not in DATA and (name == "x-elsewhere" or not name.startswith("x-")):
                yield from _schemas_in(part)


def _enter(*, resolver: Any, subresource: Resource[Any], **_: Any) -> Any:
    contents = subresource.contents
    if isinstance(contents, dict) and isinstance(contents.get("$id"), str):
        return resolver.in_subresource(subresource)
    return resolver


_OPENAPI_3_1: Specification[Any] = attrs.evolve(  # type: ignore[misc]
    DRAFT202012, name="openapi-3.1", subresources_of=_subresources, maybe_in_subresource=_enter
)
_OF_3_0 = _dialect(Draft4Validator, {"type": nullable_type}, DRAFT4)
_OF_3_1 = _dialect(
    Draft202012Validator,
    {**LATER, "unevaluatedItems": unevaluated_items, "unevaluatedProperties": unevaluated_properties},
    _OPENAPI_3_1,
)
