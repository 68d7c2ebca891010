"""The values that the layers of one request share, under private keys in `scope["extensions"]`.

The edge gives each request a scope of its own. Routing adds the operation, the body layer the body, security the
identity, and request validation the parsed parameters and the parsed body.
"""

from typing import Any

from starlette.types import Scope

from api.contract.document.operation import Operation
from api.contract.http.body_stream import BodyStream
from api.contract.http.framing import Fields

# The handler's arguments by name. ConnexionRequest reads the same key as `context`.
_CONTEXT = "connexion_context"
_OPERATION = "contract_operation"
_BODY = "contract_body"
_STREAM = "contract_stream"
_FIELDS = "contract_fields"
WHOLE_BODY = "charter.whole_body"
"""The extension with which a server states that the whole body has arrived."""


def isolate(scope: Scope, fields: Fields, address: str | None) -> Scope:
    """Return a copy of the scope that other requests and later input cannot change, with the address of the client.

    granian shares one dict of extensions between all requests of a worker, and Connexion stores the caller in it.
    """
    extensions = {
        name: value for name, value in scope.get("extensions", {}).items() if not name.startswith("connexion_")
    }
    extensions |= {_CONTEXT: {}, _FIELDS: fields}
    # The port of a client behind a proxy is unknown.
    client = None if address is None else (address, 0)
    return {**scope, "client": client, "headers": list(scope["headers"]), "extensions": extensions}


def fields_of(scope: Scope) -> Fields:
    """Return the headers by name, as the client sent them."""
    return scope["extensions"][_FIELDS]  # type: ignore[no-any-return]


def accept_of(scope: Scope) -> str | None:
    """Return the header `Accept`, or None. Several of them are one list (RFC 9110, section 5.3)."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"]
    return ", ".join(values) if values else None


def set_operation(scope: Scope, operation: Operation) -> None:
    """Store the operation that the request matches."""
    scope["extensions"][_OPERATION] = operation


def operation_of(scope: Scope) -> Operation | None:
    """Return the operation, or None if the request matched none."""
    return scope["extensions"].get(_OPERATION)  # type: ignore[no-any-return]


def has_whole_body(scope: Scope) -> bool:
    """Return True if the server states that the whole body has arrived. False means that this is unknown."""
    return WHOLE_BODY in scope["extensions"]


def set_body(scope: Scope, body: bytes) -> None:
    """Store the whole body."""
    scope["extensions"][_BODY] = body


def body_of(scope: Scope) -> bytes:
    """Return the whole body, as the client sent it."""
    return scope["extensions"][_BODY]  # type: ignore[no-any-return]


def set_stream(scope: Scope, stream: BodyStream) -> None:
    """Store a body that is read while it arrives. The whole body is then empty."""
    scope["extensions"][_STREAM] = stream
    set_body(scope, b"")


def stream_of(scope: Scope) -> BodyStream | None:
    """Return the body that is read while it arrives, or None if it has been read."""
    return scope["extensions"].get(_STREAM)  # type: ignore[no-any-return]


def set_identity(scope: Scope, caller: object) -> None:
    """Store the caller as the handler's argument `identity`."""
    arguments_of(scope)["identity"] = caller


def arguments_of(scope: Scope) -> dict[str, Any]:
    """Return the handler's arguments by name. Later layers add theirs to this dict."""
    return scope["extensions"][_CONTEXT]  # type: ignore[no-any-return]
