"""Find the changes of a contract that break its clients, with one plain line for each.

A change that cannot be judged, such as a different `pattern`, counts as a break.
"""

from collections.abc import Iterable, Iterator

from api.contract.document.model import Contract
from api.contract.document.operation import Json
from tests.support.breaking_schemas import Way, linked, schema_breaks, went

_WORDS = {"deprecated", "description", "example", "examples"}


def may_break(old: str, new: str) -> bool:
    """Return True if the step between two versions allows breaks (Semantic Versioning, sections 4 and 8).

    A new major version allows them. While the major version is 0, a new minor version allows them too.
    """
    (old_major, old_minor, _), (major, minor, _) = (map(int, version.split(".")) for version in (old, new))
    return major > old_major or (major == old_major == 0 and minor > old_minor)


def breaks(old: Json, new: Json) -> list[str]:
    """Return each change that breaks a client of the old contract."""
    return list(_document(linked(old), linked(new)))


def _document(old: Json, new: Json) -> Iterator[str]:
    urls = [server["url"] for server in new.get("servers", [])]
    yield from (f"server {server['url']}: it is gone" for server in old.get("servers", []) if server["url"] not in urls)
    schemes = new["components"].get("securitySchemes", {})
    for name, scheme in old["components"].get("securitySchemes", {}).items():
        yield from _under(f"security scheme {name}", _changes(scheme, schemes.get(name, {}), {"bearerFormat"}))
    for operation in sorted(Contract(old).operations(), key=lambda found: (found.path, found.method)):
        current = new["paths"].get(operation.path, {}).get(operation.method)
        found = _operation(_secured(operation.definition, old), _secured(current, new)) if current else ["it is gone"]
        yield from _under(f"{operation.method.upper()} {operation.path}", found)
    yield from _under("elsewhere", _responses(old.get("x-elsewhere", {}), new.get("x-elsewhere", {})))


def _under(name: str, lines: Iterable[str]) -> Iterator[str]:
    return (f"{name}: {line}" for line in lines)


def _changes(old: Json, new: Json, besides: set[str]) -> Iterator[str]:
    for name in sorted((old.keys() | new.keys()) - _WORDS - besides):
        if old.get(name) != new.get(name):
            yield went(name, old, new)


def _secured(operation: Json, document: Json) -> Json:
    return {"security": document.get("security", []), **operation}


def _operation(old: Json, new: Json) -> Iterator[str]:
    # Client generators derive names from these fields.
    names = ("operationId", "tags")
    yield from _changes({name: old.get(name) for name in names}, {name: new.get(name) for name in names}, set())
    yield from _security(old, new)
    yield from _parameters(_by_name(old), _by_name(new))
    yield from _under("request body", _request_body(old.get("requestBody", {}), new.get("requestBody", {})))
    yield from _body_limit(old, new)
    yield from _responses(old["responses"], new["responses"])


def _body_limit(old: Json, new: Json) -> Iterator[str]:
    # Without x-body-bytes a setting applies, and it may be larger or smaller.
    before, after = old.get("x-body-bytes"), new.get("x-body-bytes")
    if before != after and not (before and after and before < after):
        yield went("x-body-bytes", old, new)


def _security(old: Json, new: Json) -> Iterator[str]:
    for known in old["security"] or [{}]:
        if not any(_suffices(known, needed) for needed in new["security"] or [{}]):
            yield f"security: {' and '.join(known) or 'nothing'} no longer suffices"
    for scope in new.get("x-scopes", []):
        if scope not in old.get("x-scopes", []):
            yield f"security: the scope {scope} is now needed"


def _suffices(known: dict[str, list[str]], needed: dict[str, list[str]]) -> bool:
    return all(scheme in known and set(scopes) <= set(known[scheme]) for scheme, scopes in needed.items())


def _by_name(operation: Json) -> Json:
    return {f"{given['in']} parameter {given['name']}": given for given in operation.get("parameters", [])}


def _parameters(old: Json, new: Json) -> Iterator[str]:
    for name, known in old.items():
        yield from _under(name, _parameter(known, new[name]) if name in new else ["it is gone"])
    yield from (f"{name}: it is required" for name in new.keys() - old.keys() if new[name].get("required"))


def _parameter(old: Json, new: Json) -> Iterator[str]:
    if new.get("required") and not old.get("required"):
        yield "it is required"
    yield from _changes(old, new, {"required", "schema"})
    yield from schema_breaks(old.get("schema", {}), new.get("schema", {}), Way.IN)


def _request_body(old: Json, new: Json) -> Iterator[str]:
    if new.get("required") and not old.get("required"):
        yield "it is required"
    yield from _content(old.get("content", {}), new.get("content", {}), Way.IN)


def _content(old: Json, new: Json, way: Way) -> Iterator[str]:
    for media_type, known in old.items():
        if media_type in new:
            yield from schema_breaks(known.get("schema", {}), new[media_type].get("schema", {}), way)
        else:
            yield f"{media_type} is gone"
    # Charter does not negotiate media types: every client gets the offered one.
    if way is Way.OUT:
        yield from (f"{media_type} is new" for media_type in new if media_type not in old)


def _responses(old: Json, new: Json) -> Iterator[str]:
    for status, known in old.items():
        yield from _under(f"answer {status}", _response(known, new[status]) if status in new else ["it is gone"])
    # The first digit shows a client how to handle an unknown error (RFC 9110, section 15).
    yield from (f"answer {status}: it is new" for status in new if status not in old and status[0] not in "45")


def _response(old: Json, new: Json) -> Iterator[str]:
    headers = {name.lower(): header for name, header in new.get("headers", {}).items()}
    for name, known in old.get("headers", {}).items():
        header = headers.get(name.lower())
        yield from _under(f"header {name}", _header(known, header) if header else ["it is gone"])
    yield from _content(old.get("content", {}), new.get("content", {}), Way.OUT)


def _header(old: Json, new: Json) -> Iterator[str]:
    if old.get("required") and not new.get("required"):
        yield "it may be missing"
    yield from schema_breaks(old.get("schema", {}), new.get("schema", {}), Way.OUT)
