"""One operation of an OpenAPI document, and the references inside the document."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})

Json = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation. Its references are resolved, except those in schemas, because schemas may be recursive.

    `method` is in lower case, and `definition` is the Operation Object of the document.
    """

    path: str
    method: str
    definition: Json
    document: Json

    @property
    def pointer(self) -> tuple[str, str, str]:
        """The steps from the root of the document to the operation."""
        return "paths", self.path, self.method

    @cached_property
    def id(self) -> str:
        """The `operationId`."""
        return str(self.definition["operationId"])

    @cached_property
    def tag(self) -> str:
        """The one tag, which names the file and the module of the handler."""
        return str(self.definition["tags"][0])

    @cached_property
    def route(self) -> str:
        """The path that requests have: that of the first server, and that of the operation."""
        item = resolve(self.document["paths"][self.path], self.document)
        servers = self._own("servers", None) or item.get("servers") or self.document.get("servers") or [{}]
        return base_path(servers[0]) + self.path

    @cached_property
    def sends_json(self) -> bool:
        """True if all successful responses with a body are JSON."""
        successes = [response for status, response in self.responses.items() if status.startswith("2")]
        return all(media_kind(name) == "json" for response in successes for name in response.get("content", {}))

    def address(self, handlers: str) -> str:
        """Return the id that Connexion gives to the operation: the package, the module and the `operationId`."""
        return f"{handlers}.{self.tag}.{self.id}"

    @cached_property
    def parameters(self) -> list[Json]:
        """The parameters of the operation and those of its path that it does not define itself."""
        named = {}
        item = resolve(self.document["paths"][self.path], self.document)
        for definition in [*item.get("parameters", []), *self._own("parameters", [])]:
            parameter = resolve(definition, self.document)
            named[parameter["in"], parameter["name"]] = parameter
        return list(named.values())

    @cached_property
    def body(self) -> Json | None:
        """The Request Body Object, or None."""
        return resolve(self.definition["requestBody"], self.document) if "requestBody" in self.definition else None

    @cached_property
    def body_properties(self) -> dict[str, Json]:
        """The schemas of the properties of a JSON body. It is empty for other bodies."""
        content = (self.body or {}).get("content", {}).get("application/json", {})
        schema = resolve(content.get("schema", {}), self.document)
        return {name: resolve(part, self.document) for name, part in schema.get("properties", {}).items()}

    @cached_property
    def streams(self) -> bool:
        """True if a body may be a file or have files, and is then read while it arrives."""
        return any(is_streamed(media_type) for media_type in (self.body or {}).get("content", {}))

    @cached_property
    def responses(self) -> dict[str, Json]:
        """The Response Objects by status."""
        return {status: resolve(response, self.document) for status, response in self._own("responses", {}).items()}

    @property
    def security(self) -> list[dict[str, list[str]]]:
        """The security requirements of the operation, or else those of the document."""
        return self._own("security", self.document.get("security", []))  # type: ignore[no-any-return]

    @property
    def scopes(self) -> list[str]:
        """The scopes that the caller needs."""
        return self._own("x-scopes", [])  # type: ignore[no-any-return]

    @property
    def events(self) -> list[str]:
        """The audit events that the operation may write. A text in their place is the reason why it writes none."""
        listed = self._own("x-event", [])
        return [] if isinstance(listed, str) else listed

    @property
    def feature(self) -> str | None:
        """The feature to which the operation belongs, or None."""
        return self._own("x-feature", None)  # type: ignore[no-any-return]

    @property
    def is_switched_off(self) -> bool:
        """True if the server has switched the feature of the operation off."""
        return self._own("x-switched-off", False)  # type: ignore[no-any-return]

    @property
    def step_up_seconds(self) -> int | None:
        """The seconds within which the caller must have proved its identity, or None if any session suffices."""
        return self._own("x-step-up", {}).get("seconds")  # type: ignore[no-any-return]

    @cached_property
    def has_oauth_errors(self) -> bool:
        """True if errors have the member `error` as well, which OAuth clients read."""
        return self._own("x-oauth-errors", False)  # type: ignore[no-any-return]

    @property
    def body_bytes(self) -> int | None:
        """The maximum size of the body in bytes, or None for the default."""
        return self._own("x-body-bytes", None)  # type: ignore[no-any-return]

    def _own(self, name: str, otherwise: Any) -> Any:
        return self.definition.get(name, otherwise)


def media_kind(media_type: str) -> str:
    """Return how a body of this type is read: `json`, `form`, `multipart`, `text` or `file`."""
    kind, _, subtype = media_type.partition("/")
    if media_type == "application/json" or subtype.endswith("+json"):
        return "json"
    if media_type == "application/x-www-form-urlencoded":
        return "form"
    if media_type == "multipart/form-data":
        return "multipart"
    return "text" if kind == "text" else "file"


def is_streamed(content_type: str) -> bool:
    """Return True if a body of this type is a file or may have files."""
    return media_kind(content_type.partition(";")[0].strip(" \t").lower()) in {"multipart", "file"}


def header_content(definition: Json) -> tuple[str, Any]:
    """Return the media type and the schema of a Header Object. The media type is empty without `content`."""
    media_type, content = next(iter(definition.get("content", {}).items()), ("", definition))
    return media_type, content.get("schema", {})


def base_path(server: Json) -> str:
    """Return the path of a Server Object, without a slash at the end. Variables have their defaults."""
    url = str(server.get("url", "/"))
    for name, variable in server.get("variables", {}).items():
        url = url.replace(f"{{{name}}}", str(variable["default"]))
    # Relative URLs start at the root: the document's own path begins with that of the server.
    return unquote(urlsplit(urljoin("https://server/", url)).path).rstrip("/")


def resolve(node: Json, document: Json) -> Json:
    """Return the target of the node's `$ref`, or the node itself if it has none.

    The target of a circular reference still has a `$ref`. Raises KeyError if the target is not found.
    """
    seen: list[str] = []
    while "$ref" in node and node["$ref"] not in seen:
        seen.append(node["$ref"])
        node = _target(node["$ref"], document)
    return node


def resolve_or_empty(node: Json, document: Json) -> Json:
    """Return the same as `resolve`, or an empty object if the target is not found."""
    try:
        return resolve(node, document)
    except KeyError:
        return {}


# The objects that are equivalent to the boolean schemas of OpenAPI 3.1.
_ANYTHING: Json = {}
NOTHING: Json = {"not": {}}


def object_of(schema: Any) -> Any:
    """Return the equivalent object of a boolean schema, and any other value as it is."""
    return schema if not isinstance(schema, bool) else _ANYTHING if schema else NOTHING


def _target(reference: Any, document: Json) -> Json:
    target: Any = document if str(reference).split("/")[0] == "#" else None
    for name in _names(reference):
        target = _member(target, name)
    if not isinstance(target, dict | bool):
        raise KeyError(reference)
    return object_of(target)  # type: ignore[no-any-return]


def steps_of(reference: Any, document: Json) -> Iterator[str | int]:
    """Yield the steps from the root of a document to the target of a reference (RFC 6901, sections 4 and 6)."""
    node: Any = document
    for name in _names(reference):
        yield int(name) if isinstance(node, list) and name.isdecimal() else name
        node = _member(node, name)


def _names(reference: Any) -> list[str]:
    return [unquote(step).replace("~1", "/").replace("~0", "~") for step in str(reference).split("/")[1:]]


def _member(node: Any, name: str) -> Any:
    if isinstance(node, list):
        return node[int(name)] if name.isdecimal() and int(name) < len(node) else None
    return node.get(name) if isinstance(node, dict) else None
