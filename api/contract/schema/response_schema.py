"""The declared responses, compiled to find the violations of a response."""

import json
import re
from collections.abc import Iterable

from jsonschema import ValidationError

from api.contract.document.model import Contract
from api.contract.document.operation import Json, resolve
from api.contract.schema.last_valid import skip_last_valid
from api.contract.schema.schemas import Schemas

ELSEWHERE = "x-elsewhere"
"""The member of the contract with the responses to requests that match no operation."""

# HTTP and the edge add these headers to any response. All others must be declared.
_ON_ANY_ANSWER = {b"connection", b"content-length", b"content-security-policy", b"date", b"x-content-type-options"}
_INTEGER = re.compile("-?[0-9]{1,18}")


class ResponseSpecs:
    """The declared responses of all operations, each compiled on first use."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        document = schemas.document
        self._declared = {operation.id: operation.responses for operation in Contract(document).operations()}
        elsewhere = document.get(ELSEWHERE, {})
        self._declared[ELSEWHERE] = {status: resolve(response, document) for status, response in elsewhere.items()}
        self._ready: dict[tuple[str, int], ResponseSpec] = {}

    def find(self, name: str, status: int) -> "ResponseSpec | None":
        """Return the declared response of an operation with this status, or None."""
        if (name, status) not in self._ready and str(status) in self._declared[name]:
            self._ready[name, status] = ResponseSpec(self._declared[name][str(status)], self._schemas)
        return self._ready.get((name, status))


class ResponseSpec:
    """The declared response with one status."""

    def __init__(self, declared: Json, schemas: Schemas) -> None:
        content = declared.get("content", {})
        headers = {
            name.lower(): resolve(header, schemas.document) for name, header in declared.get("headers", {}).items()
        }
        if content:
            headers["content-type"] = {"required": True, "schema": {"type": "string", "enum": list(content)}}
        self._headers = {
            name.encode(): skip_last_valid(_Header(name, header["schema"], schemas).violations)
            for name, header in headers.items()
        }
        self._required = {name.encode() for name, header in headers.items() if header.get("required")}
        self._bodies = {
            name.encode(): skip_last_valid(_Body(media.get("schema", {}), schemas).violations)
            for name, media in content.items()
        }

    def violations(self, headers: list[tuple[bytes, bytes]], body: bytes, *, has_body: bool) -> list[str]:
        """Return the violations of a response."""
        given = dict(headers)
        found = []
        if not self._required <= given.keys():
            found += [f"the header {name.decode()} is missing" for name in self._required - given.keys()]
        for name, value in headers:
            header = self._headers.get(name)
            if header is not None:
                found += header(value)
            elif name not in _ON_ANY_ANSWER:
                found.append(f"the header {name.decode('latin-1')} is not declared")
        if not self._bodies or not has_body:
            return [*found, "the response has a body, but none is declared"] if body else found
        media = self._bodies.get(given.get(b"content-type", b""))
        return found if media is None else found + media(body)


class _Header:
    """A declared header."""

    def __init__(self, name: str, schema: Json, schemas: Schemas) -> None:
        self._what = f"the header {name}"
        self._validator = schemas.response_validator(schema)
        self._is_integer = schemas.resolve(schema).get("type") == "integer"

    def violations(self, value: bytes) -> list[str]:
        text = value.decode("latin-1")
        read = int(text) if self._is_integer and _INTEGER.fullmatch(text) else text
        return _violations(self._what, self._validator.errors(read))


class _Body:
    """A declared body."""

    def __init__(self, schema: Json, schemas: Schemas) -> None:
        self._validator = schemas.response_validator(schema)

    def violations(self, body: bytes) -> list[str]:
        try:
            # Not orjson, which reads an integer over 64 bits as a float.
            return _violations("the body", self._validator.errors(json.loads(body.decode())))
        except (ValueError, RecursionError):
            return ["the body is not JSON"]


def _violations(what: str, errors: Iterable[ValidationError]) -> list[str]:
    return [f"{what}{_pointer(error)} breaks {error.validator}" for error in errors]


def _pointer(error: ValidationError) -> str:
    return "".join(f"/{step}" for step in error.absolute_path)
