"""Check parameters and body against the contract, and store the parsed values for the later layers."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from connexion.middleware.abstract import RoutedAPI
from connexion.middleware.request_validation import RequestValidationMiddleware
from connexion.operations import AbstractOperation
from starlette.types import ASGIApp, Receive, Scope, Send

from api.contract.bodies.files import Spool
from api.contract.bodies.request_body import RequestBody
from api.contract.document.operation import Operation
from api.contract.document.rate_limits import policies_of
from api.contract.http.body_stream import BodyStream
from api.contract.http.scope import arguments_of, body_of, fields_of, stream_of
from api.contract.middleware.credentials import query_keys
from api.contract.middleware.rate_limiting import LimitedOperation, RateLimiter
from api.contract.middleware.routing import next_app
from api.contract.schema.parameters import Parameters
from api.contract.schema.schemas import Schemas
from api.errors import Fault, InvalidInput


class ValidatedOperation:
    """An operation behind the validation of its parameters and body."""

    def __init__(self, operation: Operation, next_app: ASGIApp, schemas: Schemas) -> None:
        self._next_app = next_app
        self._parameters = Parameters(operation, schemas, query_keys(operation))
        self._body = RequestBody(operation.body, schemas) if operation.body else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        faults: list[Fault] = []
        arguments = arguments_of(scope)
        arguments.update(self._parameters.read(scope, faults))
        if self._body is not None:
            stream = stream_of(scope)
            if stream is not None:
                await self._with_files(self._body, stream, faults, scope, receive, send)
                return
            arguments["body"] = self._body.read(fields_of(scope), body_of(scope), faults)
        if faults:
            raise InvalidInput(faults)
        await self._next_app(scope, receive, send)

    async def _with_files(
        self, body: RequestBody, stream: BodyStream, faults: list[Fault], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Read a body with files, which are deleted after the response."""
        with closing(Spool()) as spool:
            arguments_of(scope)["body"] = await body.receive(fields_of(scope), stream, spool, faults)
            if faults:
                raise InvalidInput(faults)
            await self._next_app(scope, receive, send)


class ValidationApi(RoutedAPI[ValidatedOperation]):
    """The operations of one document, each compiled once."""

    def __init__(
        self,
        *args: Any,
        operations: Mapping[str, Operation],
        schemas: Schemas,
        limiter: RateLimiter | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._operations = operations
        self._schemas = schemas
        self._limiter = limiter
        self.add_paths()

    def make_operation(self, operation: AbstractOperation) -> ValidatedOperation:
        served, following = self._operations[operation.operation_id], next_app(self.next_app, operation.operation_id)
        policies = policies_of(served)
        if policies and self._limiter is not None:
            following = LimitedOperation(served, policies, following, self._limiter)
        return ValidatedOperation(served, following, self._schemas)


class StrictRequestValidation(RequestValidationMiddleware):
    """Connexion's validation step, made strict. It compiles validators once, reports all faults and quotes no value."""

    api_cls = ValidationApi

    @property
    def operations(self) -> dict[str, ValidatedOperation]:
        """The operations by their ids in Connexion."""
        return self.apis[""][0].operations  # type: ignore[no-any-return]
