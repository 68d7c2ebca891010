"""The declared responses, compiled to find the violations of a response."""

import json
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

import orjson
from jsonschema import ValidationError

from api.contract.document.model import Contract
from api.contract.document.operation import Json, header_content, resolve
from api.contract.schema import media_types
from api.contract.schema.allowed import is_array
from api.contract.schema.last_valid import Check, skip_last_valid
from api.contract.schema.places import Given
from api.contract.schema.schemas import Schemas
from api.contract.schema.styles import Style, StyleFault
from api.contract.schema.texts import TextReader
from api.contract.schema.validator import SchemaValidator

ELSEWHERE = "x-elsewhere"
"""The member of the contract with the responses to requests that match no operation."""

# HTTP and the engine add these headers to any response. All others must be declared.
_ON_ANY_ANSWER = {
    b"connection",
    b"content-length",
    b"content-security-policy",
    b"date",
    b"vary",
    b"x-content-type-options",
}

_MOST_TYPES = 16
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
# 64 bits hold all numbers with fewer digits.
_MANY_ZEROS = b"0" * 19


def declared_status(responses: Container[str], status: int) -> str | None:
    """Return the key of a status: the status itself, its range such as `2XX`, or `default`."""
    keys = (str(status), f"{status // 100}XX", "default")
    return next((key for key in keys if key in responses), None)


class ResponseSpecs:
    """The declared responses of all operations, each compiled on first use."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        document = schemas.document
        self._declared = {operation.id: operation.responses for operation in Contract(document).operations()}
        elsewhere = document.get(ELSEWHERE, {})
        self._declared[ELSEWHERE] = {status: resolve(response, document) for status, response in elsewhere.items()}
        self._ready: dict[tuple[str, int], ResponseSpec | None] = {}

    def find(self, name: str, status: int) -> "ResponseSpec | None":
        """Return the declared response of an operation with this status, or None."""
        if (name, status) not in self._ready:
            key = declared_status(self._declared[name], status)
            self._ready[name, status] = ResponseSpec(self._declared[name][key], self._schemas) if key else None
        return self._ready[name, status]


class ResponseSpec:
    """The declared response with one status, one range of statuses, or all others."""

    def __init__(self, declared: Json, schemas: Schemas) -> None:
        self._schemas = schemas
        self._content = declared.get("content", {})
        headers = {
            name.lower(): resolve(header, schemas.document) for name, header in declared.get("headers", {}).items()
        }
        # OpenAPI ignores a declared Content-Type, because `content` determines it.
        headers.pop("content-type", None)
        self._headers = {
            name.encode(): skip_last_valid(_header_check(name, header, schemas)) for name, header in headers.items()
        }
        self._required = {name.encode() for name, header in headers.items() if header.get("required")}
        if self._content:
            self._headers[b"content-type"] = skip_last_valid(self._media_type_violations)
            self._required.add(b"content-type")
        self._bodies: dict[bytes, Check] = {}

    def violations(self, headers: list[tuple[bytes, bytes]], body: bytes, *, has_body: bool) -> list[str]:
        """Return the violations of a response. Without `has_body`, only its headers are checked."""
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
        if not self._content or not has_body:
            return [*found, "the response has a body, but none is declared"] if body else found
        return found + self._body_check(given.get(b"content-type", b""))(body)

    def _media_type_violations(self, value: bytes) -> list[str]:
        declared = media_types.find(self._content, value.decode("latin-1"))
        return ["the header content-type breaks enum"] if declared is None else []

    def _body_check(self, media_type: bytes) -> Check:
        """Return the check of the bodies in a media type."""
        check = self._bodies.get(media_type)
        if check is None:
            name = media_type.decode("latin-1")
            declared = media_types.find(self._content, name)
            if declared is None:
                return lambda _: []
            schema = self._content[declared].get("schema", {})
            check = skip_last_valid(_body_check(name, schema, self._schemas))
            # A handler may send files of any type.
            if len(self._bodies) < _MOST_TYPES:
                self._bodies[media_type] = check
        return check


def _body_check(media_type: str, schema: Any, schemas: Schemas) -> Check:
    if media_types.is_json(media_type):
        return partial(_json_violations, "the body", schemas.response_validator(schema))
    if media_types.is_json_lines(media_type):
        check = _rows_violations if is_array(schema, schemas) else _line_violations
        return partial(check, schemas.response_validator(schema))
    if media_types.is_text(media_type):
        return partial(_text_violations, _TextCheck("the body", schema, schemas))
    return lambda _: []


def _json_violations(what: str, validator: SchemaValidator, text: bytes) -> list[str]:
    try:
        return _violations(what, validator.errors(_parse(text)))
    except (ValueError, RecursionError):
        return [f"{what} is not JSON"]


def _parse(text: bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError or RecursionError if it is not JSON."""
    # orjson takes a quarter of the time, but reads an integer over 64 bits as a float and rejects some valid texts.
    if _MANY_ZEROS not in text.translate(_ZEROS):
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(text)
    return json.loads(text.decode(), parse_constant=_reject)


def _reject(_: str) -> NoReturn:
    raise ValueError("not a number in JSON")


def _line_violations(validator: SchemaValidator, body: bytes) -> list[str]:
    return [
        violation
        for number, line in enumerate(_lines(body))
        for violation in _json_violations(f"the line {number}", validator, line)
    ]


def _rows_violations(validator: SchemaValidator, body: bytes) -> list[str]:
    rows = []
    for number, line in enumerate(_lines(body)):
        try:
            rows.append(_parse(line))
        except (ValueError, RecursionError):
            return [f"the line {number} is not JSON"]
    return _violations("the body", validator.errors(rows))


def _lines(body: bytes) -> list[bytes]:
    return body.removesuffix(b"\n").split(b"\n") if body else []


def _text_violations(check: "_TextCheck", body: bytes) -> list[str]:
    try:
        return check.violations(body.decode())
    except UnicodeDecodeError:
        return ["the body is not UTF-8"]


def _header_check(name: str, definition: Json, schemas: Schemas) -> Check:
    what = f"the header {name}"
    media_type, schema = header_content(definition)
    if media_type and media_types.is_json(media_type):
        return partial(_json_violations, what, schemas.response_validator(schema))
    check = _TextCheck(what, schema, schemas, explode=definition.get("explode", False))
    return lambda value: check.violations(value.decode("latin-1"))


class _TextCheck:
    """A value that is written as text: a header in the style `simple`, or a body of the type text/plain."""

    def __init__(self, what: str, schema: Any, schemas: Schemas, *, explode: bool = False) -> None:
        self._what = what
        self._reader = TextReader(schemas.resolve(schema), schemas)
        self._is_text = self._reader.types == {"string"}
        self._extract = Style("header", "", "simple", explode).extract(self._reader)
        self._validator = schemas.response_validator(schema)

    def violations(self, text: str) -> list[str]:
        """Return the violations of a text. It is valid if one of its readings is."""
        found: list[str] = []
        for value in [text] if self._is_text else self._readings(text):
            errors = self._validator.errors(value)
            if not errors:
                return []
            found = found or _violations(self._what, errors)
        return found

    def _readings(self, text: str) -> Iterator[Any]:
        with suppress(StyleFault):
            for raw in self._extract(Given({"": [text]}, {})):
                yield self._reader.read(raw)
                yield self._reader.read(raw, plain=True)
        yield text


def _violations(what: str, errors: Iterable[ValidationError]) -> list[str]:
    return [f"{what}{_pointer(error)} breaks {_rule(error)}" for error in errors]


def _rule(error: ValidationError) -> str:
    return f"pattern {error.validator_value}" if error.validator == "pattern" else str(error.validator)


def _pointer(error: ValidationError) -> str:
    return "".join(f"/{step}" for step in error.absolute_path)
