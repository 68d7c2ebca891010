"""Hold parameters and body against the contract; hand on what was read, so that nobody reads it again."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

from connexion.lifecycle import ConnexionRequest
from connexion.middleware.abstract import RoutedAPI
from connexion.middleware.request_validation import RequestValidationMiddleware
from connexion.operations import AbstractOperation
from connexion.utils import is_nullable
from starlette.types import ASGIApp, Receive, Scope, Send

from api.contract import strict_json
from api.contract.faults import Format, SchemaCheck
from api.contract.load import ContractError
from api.errors import Fault, InvalidInput, UnsupportedMediaType

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_BOOLEANS = {"true": True, "false": False}


class Parameter:
    """One path or query parameter."""

    def __init__(self, definition: dict[str, Any], formats: Mapping[str, Format]) -> None:
        self.name: str = definition["name"]
        self.place: str = definition["in"]
        self.required: bool = definition.get("required", False)
        schema = definition["schema"]
        self.type: str = schema["type"]
        self.default = schema.get("default")
        self.pointer = f"/{self.place}/{self.name}"
        self._check = SchemaCheck(schema, formats)
        if self.place not in {"path", "query"} or self.type not in {"string", "integer", "boolean"}:
            raise ContractError(
                f"the parameter {self.name!r} is neither a string, an integer nor a boolean of the path or query"
            )

    def read(self, texts: list[str]) -> tuple[Any, list[Fault]]:
        """The value that was sent, exactly as its type is written, and what is wrong with it."""
        if not texts:
            return self.default, [Fault(self.pointer, "REQUIRED", "It is missing.")] if self.required else []
        if len(texts) > 1:
            return None, [Fault(self.pointer, "REPEATED", "It is given more than once.")]
        value = self._typed(texts[0])
        return value, list(self._check.faults(value, self.pointer))

    def _typed(self, text: str) -> Any:
        if self.type == "integer" and _INTEGER.fullmatch(text):
            return int(text)
        if self.type == "boolean":
            return _BOOLEANS.get(text, text)
        return text


class Parameters:
    """All path and query parameters of an operation, and no other."""

    def __init__(self, definitions: list[dict[str, Any]], formats: Mapping[str, Format]) -> None:
        self._parameters = [Parameter(definition, formats) for definition in definitions]
        self._names = {parameter.name for parameter in self._parameters if parameter.place == "query"}

    def read(self, scope: Scope, faults: list[Fault]) -> dict[str, Any]:
        """The values by name; what is wrong with them goes into `faults`."""
        query = list(_pairs(scope["query_string"]))
        if any(name not in self._names for name, _ in query):
            taken = ", ".join(sorted(self._names)) or "none"
            faults.append(Fault("/query", "UNKNOWN", f"Only these are taken: {taken}."))
        values = {}
        for parameter in self._parameters:
            texts = [text for name, text in query if name == parameter.name]
            if parameter.place == "path":
                texts = [scope["path_params"][parameter.name]]
            values[parameter.name], found = parameter.read(texts)
            faults += found
        return values


def _pairs(query: bytes) -> Iterator[tuple[str, str]]:
    for pair in query.decode("ascii").split("&") if query else ():
        name, _, value = pair.partition("=")
        try:
            decoded = unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")
        except UnicodeDecodeError:
            raise InvalidInput([Fault("/query", "WRONG_FORMAT", "It is not UTF-8.")]) from None
        if "\x00" in value + decoded[1]:
            raise InvalidInput([Fault("/query", "WRONG_FORMAT", "It holds a NUL.")])
        yield decoded


class JsonBody:
    """The body of an operation that takes `application/json`."""

    def __init__(self, operation: AbstractOperation, formats: Mapping[str, Format]) -> None:
        if operation.consumes != ["application/json"]:
            raise ContractError(f"{operation.operation_id}: only application/json bodies are served")
        self._required = operation.request_body.get("required", False)
        self._nullable = is_nullable(operation.body_definition("application/json"))
        self._check = SchemaCheck(operation.body_schema("application/json"), formats)

    def read(self, headers: Mapping[str, str], body: bytes, faults: list[Fault]) -> Any:
        """The parsed body; what is wrong with it goes into `faults`. Raises UnsupportedMediaType."""
        if not body and not headers.get("content-type"):
            if self._required:
                faults.append(Fault("/body", "REQUIRED", "It is missing."))
            return None
        _refuse_other_media(headers)
        value = strict_json.parse(body)
        faults += self._check.faults(value, "/body")
        return value


def _refuse_other_media(headers: Mapping[str, str]) -> None:
    """Refuse any charset but UTF-8: the body would mean one thing here and another to the next reader."""
    media_type, *parameters = [part.strip().lower() for part in headers.get("content-type", "").split(";")]
    utf8 = all(parameter in {"charset=utf-8", 'charset="utf-8"', ""} for parameter in parameters)
    if media_type != "application/json" or not utf8 or headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaType()


class ValidatedOperation:
    """An operation behind everything the contract says of its input."""

    def __init__(self, operation: AbstractOperation, next_app: ASGIApp, formats: Mapping[str, Format]) -> None:
        self._next_app = next_app
        self._parameters = Parameters(operation.parameters, formats)
        self._body = JsonBody(operation, formats) if operation.is_request_body_defined else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = ConnexionRequest(scope)
        faults: list[Fault] = []
        request.context.update(self._parameters.read(scope, faults))
        if self._body is not None:
            body = (await receive())["body"]
            request.context["body"] = self._body.read(request.headers, body, faults)
        if faults:
            raise InvalidInput(faults)
        await self._next_app(scope, receive, send)


class ValidationApi(RoutedAPI[ValidatedOperation]):
    """The operations of one document, each made ready once."""

    def __init__(self, *args: Any, formats: Mapping[str, Format], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._formats = formats
        self.add_paths()

    def make_operation(self, operation: AbstractOperation) -> ValidatedOperation:
        return ValidatedOperation(operation, self.next_app, self._formats)


class Validate(RequestValidationMiddleware):
    """Connexion's validation step, exact: it makes each validator once, reports all faults, and quotes no value."""

    api_cls = ValidationApi
