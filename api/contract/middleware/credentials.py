"""The credentials of the security schemes: where a request carries them, and the challenge if they are missing."""

import binascii
import inspect
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

from starlette.types import Scope

from api.contract.document.model import ContractError
from api.contract.document.operation import Json, Operation, resolve
from api.contract.document.prefixes import prefixes_of
from api.contract.http.client import address_of
from api.contract.http.scope import fields_of
from api.contract.schema.places import cookies_of, read_pairs
from api.errors import InvalidCredentials, InvalidInput

MALFORMED_BASIC = "The Basic credentials must be `id:secret` in Base64, without control characters (RFC 7617)."


class Identity(Protocol):
    """The part of a caller that the engine reads: the scopes.

    A caller may have `needs_scopes`. If it is True, the caller can only call operations that require a scope, because
    all others are for users.
    """

    @property
    def scopes(self) -> frozenset[str]: ...


class Authenticated(Protocol):
    """The part of a caller that the engine reads for `x-step-up`: when the user last proved its identity."""

    @property
    def authenticated_at(self) -> datetime: ...


Authenticate = Callable[..., Awaitable[Identity]]
"""Returns the caller for a credential: a token, an API key, or a user id and a password.

A function with a parameter `address` gets the address of the client as well. Raises an ApiError if the credential is
invalid.
"""
Find = Callable[[Scope], "tuple[str, ...] | None"]
"""Returns the arguments of the scheme's function, or None if the request does not carry the credential."""


class Scheme(NamedTuple):
    """A security scheme: the function that finds its credential, and the one that verifies it.

    `is_bearer` is True for access tokens (RFC 6750). `key` is the query parameter that carries the credential.
    """

    name: str
    find: Find
    verify: Authenticate
    challenge: str
    how: str
    is_bearer: bool = False
    key: str | None = None


def make_scheme(name: str, document: Json, functions: Mapping[str, Authenticate]) -> Scheme:
    """Return a scheme of the document. Raises ContractError if it has no function."""
    definition = resolve(document["components"]["securitySchemes"][name], document)
    if name not in functions:
        raise ContractError(f"the security scheme {name!r} has no function; give one to assemble")
    scheme = _make(name, definition, document, functions[name])
    if "address" not in inspect.signature(functions[name]).parameters:
        return scheme
    return scheme._replace(find=_with_address(scheme.find))


def _make(name: str, definition: Json, document: Json, verify: Authenticate) -> Scheme:
    kind, title = definition.get("type"), str(document["info"]["title"])
    if kind in {"oauth2", "openIdConnect"} or (kind == "http" and definition["scheme"].lower() == "bearer"):
        find = _bearer(definition.get("x-prefix"), prefixes_of(document))
        return Scheme(name, find, verify, "Bearer", "Authorization: Bearer <access_token>", is_bearer=True)
    # RFC 9110, section 5.5: a header has no control characters.
    realm = "".join(character for character in title if " " <= character <= "~" and character not in '"\\')
    if kind == "http" and definition["scheme"].lower() == "basic":
        challenge = f'Basic realm="{realm}", charset="UTF-8"'
        return Scheme(name, _basic, verify, challenge, "Authorization: Basic <credentials>")
    if kind == "apiKey":
        return _api_key(name, definition, realm, verify)
    what = f"{kind} {definition['scheme']}" if kind == "http" else str(kind)
    raise ContractError(f"the security scheme {name!r} must not be {what}, which is not supported")


def _api_key(name: str, definition: Json, realm: str, verify: Authenticate) -> Scheme:
    where, key = definition["in"], definition["name"]
    find = {"header": _header_key, "query": _query_key, "cookie": _cookie_key}[where](key)
    # No registered scheme describes API keys. RFC 9110, section 15.5.2, requires a challenge.
    challenge, how = f'ApiKey realm="{realm}"', f"the API key in the {where} {key}"
    return Scheme(name, find, verify, challenge, how, key=key if where == "query" else None)


def _authorization(scope: Scope, scheme: str) -> str | None:
    given, _, credential = fields_of(scope).get(b"authorization", b"").decode("latin-1").partition(" ")
    return credential.strip(" ") if given.lower() == scheme else None


def _bearer(prefix: str | None, prefixes: tuple[str, ...]) -> Find:
    """Return the function that finds the tokens with a prefix. Without one, it finds those that have none of all."""

    def find(scope: Scope) -> tuple[str] | None:
        token = _authorization(scope, "bearer")
        if token is None:
            return None
        is_own = token.startswith(prefix) if prefix else not token.startswith(prefixes)
        return (token,) if is_own else None

    return find


def _with_address(find: Find) -> Find:
    """Return a function that finds the same credential, and the address of the client after it."""

    def find_both(scope: Scope) -> "tuple[str, ...] | None":
        credential = find(scope)
        return None if credential is None else (*credential, address_of(scope))

    return find_both


def _basic(scope: Scope) -> tuple[str, str] | None:
    """Return the user id and the password (RFC 7617). Raises InvalidCredentials if they are malformed."""
    credential = _authorization(scope, "basic")
    if credential is None:
        return None
    try:
        user, colon, password = b64decode(credential, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise InvalidCredentials(MALFORMED_BASIC) from None
    # Section 2: no control characters.
    if not colon or any(ord(character) < 32 or ord(character) == 127 for character in user + password):
        raise InvalidCredentials(MALFORMED_BASIC)
    return user, password


def _only(values: list[str]) -> tuple[str] | None:
    """Return the key, or None without one. Raises InvalidCredentials for several keys."""
    # Two readers could take different ones of several keys.
    if len(values) > 1:
        raise InvalidCredentials("The credential was sent more than once. Send it once.")
    return (values[0],) if values else None


def _header_key(key: str) -> Find:
    name = key.lower().encode("latin-1")
    return lambda scope: _only([value.decode("latin-1") for header, value in scope["headers"] if header == name])


def _query_key(key: str) -> Find:
    def find(scope: Scope) -> tuple[str] | None:
        try:
            return _only(read_pairs(scope["query_string"].decode("ascii"), "/query").texts.get(key, []))
        except InvalidInput:
            return None

    return find


def _cookie_key(key: str) -> Find:
    return lambda scope: _only(cookies_of(scope).texts.get(key, []))


def query_keys(operation: Operation) -> set[str]:
    """Return the query parameters that carry API keys."""
    schemes = operation.document.get("components", {}).get("securitySchemes", {})
    names = {name for requirement in operation.security for name in requirement}
    used = [resolve(schemes.get(name, {}), operation.document) for name in names]
    return {scheme["name"] for scheme in used if scheme.get("type") == "apiKey" and scheme.get("in") == "query"}
