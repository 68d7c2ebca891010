"""The rules of OpenAPI about the fields of one object, beyond their types."""

import re
from collections.abc import Callable, Iterator

from api.contract.document.operation import Json

_STYLES = {
    "path": {"matrix", "label", "simple"},
    "query": {"form", "spaceDelimited", "pipeDelimited", "deepObject"},
    "header": {"simple"},
    "cookie": {"form"},
}
_OF_SCHEMAS = ("style", "explode", "allowReserved", "example", "examples")
_NEEDED = {
    "apiKey": ("name", "in"),
    "http": ("scheme",),
    "oauth2": ("flows",),
    "openIdConnect": ("openIdConnectUrl",),
}


def faults_of(kind: str, node: Json, is_3_1: bool) -> Iterator[str]:
    """Yield the messages of the faults of one object."""
    if kind in _CHECKS:
        yield from _CHECKS[kind](node)
    if kind == "Schema" and not is_3_1:
        yield from _schema_3_0(node)


def _examples(node: Json) -> Iterator[str]:
    if "example" in node and "examples" in node:
        yield "example and examples exclude each other"


def _header(node: Json) -> Iterator[str]:
    yield from _examples(node)
    if ("schema" in node) == ("content" in node):
        yield "either schema or content is required, and not both"
    if isinstance(content := node.get("content"), dict) and len(content) != 1:
        yield "content must have exactly one media type"
    if "content" in node:
        yield from (f"content excludes {name}" for name in _OF_SCHEMAS if name in node)


def _parameter(node: Json) -> Iterator[str]:
    yield from _header(node)
    place = str(node.get("in"))
    if place == "path" and node.get("required") is not True:
        yield f"the path parameter {node.get('name')!r} must have required: true"
    if "style" in node and place in _STYLES and str(node["style"]) not in _STYLES[place]:
        yield f"the style {node['style']!r} does not exist in {place!r}; use {', '.join(sorted(_STYLES[place]))}"


def _scheme(node: Json) -> Iterator[str]:
    for name in _NEEDED.get(str(node.get("type")), ()):
        if name not in node:
            yield f"missing field {name!r}"
    if "bearerFormat" in node and str(node.get("scheme")).lower() != "bearer":
        yield "bearerFormat belongs to the scheme bearer only"


def _link(node: Json) -> Iterator[str]:
    if ("operationRef" in node) == ("operationId" in node):
        yield "either operationId or operationRef is required, and not both"


def _example(node: Json) -> Iterator[str]:
    if "value" in node and "externalValue" in node:
        yield "value and externalValue exclude each other"


def _variable(node: Json) -> Iterator[str]:
    choices = node.get("enum")
    if isinstance(choices, list) and node.get("default") not in choices:
        yield "the default of the variable must be one of its enum"


def _schema(node: Json) -> Iterator[str]:
    for name in ("allOf", "anyOf", "oneOf"):
        if node.get(name) == []:
            yield f"{name!r} must not be empty"
    required = node.get("required")
    if isinstance(required, list) and len({str(name) for name in required}) < len(required):
        yield "'required' must not repeat a name"
    for least, most in (("minLength", "maxLength"), ("minItems", "maxItems"), ("minimum", "maximum")):
        low, high = node.get(least), node.get(most)
        if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            yield f"{least} is greater than {most}"


def _schema_3_0(node: Json) -> Iterator[str]:
    if node.get("type") == "array" and "items" not in node:
        yield "an array must have items"
    for name in ("enum", "required"):
        if node.get(name) == []:
            yield f"{name!r} must not be empty"


def _components(node: Json) -> Iterator[str]:
    for kind, named in node.items():
        for name in named if isinstance(named, dict) and not kind.startswith("x-") else ():
            if not re.fullmatch("[A-Za-z0-9._-]+", name):
                yield f"the name {name!r} in {kind} must consist of letters, digits, '.', '-' and '_'"


_CHECKS: dict[str, Callable[[Json], Iterator[str]]] = {
    "Components": _components,
    "Example": _example,
    "Header": _header,
    "Link": _link,
    "MediaType": _examples,
    "Parameter": _parameter,
    "Schema": _schema,
    "SecurityScheme": _scheme,
    "ServerVariable": _variable,
}
