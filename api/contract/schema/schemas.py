"""The schemas of one document, ready to validate the values of requests and responses."""

from collections.abc import Iterator, Mapping
from typing import Any

from connexion.json_schema import Draft4RequestValidator, Draft4ResponseValidator
from jsonschema import ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.jsonschema import DRAFT4

from api.contract.document.operation import Json, resolve
from api.contract.schema.formats import STANDARD, Format, format_checker
from api.contract.schema.validator import SchemaValidator


def _format(validator: Any, name: str, value: Any, schema: dict[str, Any]) -> Iterator[ValidationError]:
    # A text of a wrong length gets that fault only: checking the format of 64 kB of accents takes a second.
    if _has_valid_length(value, schema):
        yield from Draft4RequestValidator.VALIDATORS["format"](validator, name, value, schema)


def _pattern(validator: Any, pattern: str, value: Any, schema: dict[str, Any]) -> Iterator[ValidationError]:
    # A pattern beside a format with a code of its own is a part of that format.
    if "x-format-code" not in schema or _has_valid_length(value, schema):
        yield from Draft4RequestValidator.VALIDATORS["pattern"](validator, pattern, value, schema)


def _has_valid_length(value: Any, schema: dict[str, Any]) -> bool:
    length = len(value) if isinstance(value, str) else 0
    return not isinstance(value, str) or schema.get("minLength", length) <= length <= schema.get("maxLength", length)


_ExactRequestValidator = extend(  # type: ignore[no-untyped-call]
    Draft4RequestValidator, {"format": _format, "pattern": _pattern}
)


class Schemas:
    """Makes the validators of one document, in which a schema may refer to any other, also to itself.

    `formats` are the checks that the service adds to the standard ones.
    """

    def __init__(self, document: Json, formats: Mapping[str, Format]) -> None:
        self.document = document
        self._formats = format_checker({**STANDARD, **formats})
        registry: Registry[Any] = Registry().with_resource("", DRAFT4.create_resource(document))
        self._resolver = registry.resolver()

    def resolve(self, schema: Json) -> Json:
        """Return the target of a schema's `$ref`, or the schema itself."""
        return resolve(schema, self.document)

    def request_validator(self, schema: Json) -> SchemaValidator:
        """Return the validator of a value in a request."""
        return self._validator(_ExactRequestValidator, schema)

    def response_validator(self, schema: Json) -> SchemaValidator:
        """Return the validator of a value in a response."""
        return self._validator(Draft4ResponseValidator, schema)

    def _validator(self, kind: Any, schema: Json) -> SchemaValidator:
        return SchemaValidator(kind(schema, format_checker=self._formats, _resolver=self._resolver))
