"""Check parameters and body against the contract, and store the parsed values for the later layers."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from connexion.middleware.abstract import RoutedAPI
from connexion.middleware.request_validation import RequestValidationMiddleware
from connexion.operations import AbstractOperation
from starlette.types import ASGIApp, Receive, Scope, Send

from api.contract.document.model import ContractError
from api.contract.document.operation import Json, Operation
from api.contract.http.framing import Fields
from api.contract.http.scope import arguments_of, body_of, fields_of
from api.contract.middleware.credentials import query_keys
from api.contract.middleware.routing import next_app
from api.contract.schema import strict_json
from api.contract.schema.parameters import Parameters
from api.contract.schema.request_schema import faults_of
from api.contract.schema.schemas import Schemas
from api.errors import Fault, InvalidInput, UnsupportedMediaType


class JsonBody:
    """The body of an operation that accepts `application/json`."""

    def __init__(self, body: Json, schemas: Schemas) -> None:
        if list(body["content"]) != ["application/json"]:
            raise ContractError("only application/json bodies are supported")
        self._required = body.get("required", False)
        self._validator = schemas.request_validator(body["content"]["application/json"].get("schema", {}))

    def read(self, fields: Fields, body: bytes, faults: list[Fault]) -> Any:
        """Return the parsed body, and append its faults to `faults`.

        Raises UnsupportedMediaType if the body is not JSON in UTF-8, and InvalidInput if it cannot be parsed.
        """
        if not body and not fields.get(b"content-type"):
            if self._required:
                faults.append(Fault("/body", "REQUIRED", "A body is required."))
            return None
        if not _is_json(fields.get(b"content-type", b""), fields.get(b"content-encoding", b"identity")):
            raise UnsupportedMediaType()
        value = strict_json.parse(body)
        if errors := self._validator.errors(value):
            faults += faults_of(errors, "/body")
            return value
        return self._validator.filled(value)


# The name without a hyphen is not registered, but common.
_UTF8 = {"charset=utf-8", 'charset="utf-8"', "charset=utf8", 'charset="utf8"', ""}


@lru_cache(64)
def _is_json(content_type: bytes, coding: bytes) -> bool:
    """Return True if the body is declared as JSON in UTF-8, without a content coding.

    In another charset, two readers could interpret the same body differently.
    """
    media_type, *parameters = [part.strip().lower() for part in content_type.decode("latin-1").split(";")]
    utf8 = all(parameter in _UTF8 for parameter in parameters)
    codings = {part.strip() for part in coding.lower().split(b",")}
    return media_type == "application/json" and utf8 and codings == {b"identity"}


class ValidatedOperation:
    """An operation behind the validation of its parameters and body."""

    def __init__(self, operation: Operation, next_app: ASGIApp, schemas: Schemas) -> None:
        self._next_app = next_app
        self._parameters = Parameters(operation, schemas, query_keys(operation))
        self._body = JsonBody(operation.body, schemas) if operation.body else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        faults: list[Fault] = []
        arguments = arguments_of(scope)
        arguments.update(self._parameters.read(scope, faults))
        if self._body is not None:
            arguments["body"] = self._body.read(fields_of(scope), body_of(scope), faults)
        if faults:
            raise InvalidInput(faults)
        await self._next_app(scope, receive, send)


class ValidationApi(RoutedAPI[ValidatedOperation]):
    """The operations of one document, each compiled once."""

    def __init__(self, *args: Any, operations: Mapping[str, Operation], schemas: Schemas, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._operations = operations
        self._schemas = schemas
        self.add_paths()

    def make_operation(self, operation: AbstractOperation) -> ValidatedOperation:
        address = operation.operation_id
        try:
            return ValidatedOperation(self._operations[address], next_app(self.next_app, address), self._schemas)
        except ContractError as error:
            raise ContractError(f"{self._operations[address].id}: {error}") from None


class StrictRequestValidation(RequestValidationMiddleware):
    """Connexion's validation step, made strict. It compiles validators once, reports all faults and quotes no value."""

    api_cls = ValidationApi

    @property
    def operations(self) -> dict[str, ValidatedOperation]:
        """The operations by their ids in Connexion."""
        return self.apis[""][0].operations  # type: ignore[no-any-return]
