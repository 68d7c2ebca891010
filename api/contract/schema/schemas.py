"""The schemas of one document, ready to validate the values of requests and responses."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from jsonschema_specifications import REGISTRY
from referencing.exceptions import Unresolvable

from api.contract.document.model import ContractError
from api.contract.document.operation import Json, resolve
from api.contract.schema.compiler import Compiler, resolved
from api.contract.schema.dialects import dialect_of
from api.contract.schema.formats import STANDARD, Format, format_checker
from api.contract.schema.served_schema import SchemaCheck
from api.contract.schema.validator import RequestValidator, SchemaValidator

Validator = TypeVar("Validator", bound=SchemaValidator)

# References to anchors need an address, which no document can have by chance.
_ADDRESS = "https://contract.invalid/openapi.json"


class Schemas:
    """Makes the validators of one document, in which a schema may refer to any other, also to itself.

    `formats` are the checks that the service adds to the standard ones.
    """

    def __init__(self, document: Json, formats: Mapping[str, Format]) -> None:
        self.document = document
        self._formats = format_checker({**STANDARD, **formats})
        self._dialect = dialect_of(document)
        self._targets: dict[str, Any] = {}
        self._check = SchemaCheck()
        self._made: dict[tuple[type, Any, int], tuple[Any, Any]] = {}
        self._requests, self._responses = Compiler(), Compiler()
        resource = self._dialect.specification.create_resource(document)
        # References to `$id` and to anchors of OpenAPI 3.1 require that all schemas are known.
        self._resolver = REGISTRY.with_resource(_ADDRESS, resource).crawl().resolver(_ADDRESS)

    def resolve(self, schema: Any) -> Any:
        """Return the target of a schema's `$ref`, or the schema itself. Raises ContractError if it is not found."""
        if not isinstance(schema, dict) or "$ref" not in schema:
            return schema
        if schema["$ref"].startswith("#/"):
            return resolve(schema, self.document)
        # An anchor or an address of OpenAPI 3.1.
        return self.resolve(self.lookup(schema["$ref"]))

    def lookup(self, reference: str) -> Any:
        """Return the schema that a reference names. Its own `$ref` is not resolved.

        Raises ContractError if it is not found.
        """
        if reference not in self._targets:
            try:
                self._targets[reference] = self._resolver.lookup(reference).contents
            except Unresolvable:
                # An anchor inside a schema with an `$id` has another base, too.
                raise ContractError(f"reference {reference!r} not found") from None
        return self._targets[reference]

    def request_validator(self, schema: Any) -> RequestValidator:
        """Return the validator of a value in a request. Raises ContractError if the schema cannot be served."""
        return self._shared(RequestValidator, self._dialect.request, schema, self._requests)

    def request_test(self, schema: Any) -> SchemaValidator:
        """Return a validator of a value in a request that gets no defaults."""
        return self._shared(SchemaValidator, self._dialect.request, schema, self._requests)

    def response_validator(self, schema: Any) -> SchemaValidator:
        """Return the validator of a value in a response. Raises ContractError if the schema cannot be served."""
        return self._shared(SchemaValidator, self._dialect.response, schema, self._responses)

    def check(self, schema: Any) -> None:
        """Raise ContractError if a schema cannot be served."""
        self._exact(self._dialect.response, schema)

    def _shared(self, kind: type[Validator], dialect: Any, schema: Any, compiler: Compiler) -> Validator:
        """Return the validator of a schema, which all references to the schema share."""
        # The id is unique as long as the schema exists.
        key = kind, dialect, id(schema)
        if key not in self._made:
            exact = resolved(self._exact(dialect, schema))
            target = kind, dialect, id(exact.schema)
            if target not in self._made:
                self._made[target] = exact.schema, kind(exact, compiler)
            self._made[key] = schema, self._made[target][1]
        return cast(Validator, self._made[key][1])

    def _exact(self, kind: Any, schema: Any) -> Any:
        resolver = self._resolver.in_subresource(self._dialect.specification.create_resource(schema))
        validator = kind(schema, format_checker=self._formats, _resolver=resolver)
        self._check.check(validator)
        return validator
