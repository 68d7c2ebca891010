"""Hold every answer against the contract, errors of whichever layer included, and report what breaks it."""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from connexion.json_schema import Draft4ResponseValidator, resolve_refs
from jsonschema import FormatChecker
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.contract.docs import is_docs
from api.contract.document import Contract, Json
from api.contract.formats import Format, format_checker
from api.contract.route import Routes
from api.errors import MethodNotAllowed, NotFound

# What HTTP and the edge put on answers whatever they are about; the rest is the contract's.
_ON_ANY_ANSWER = {"connection", "content-length", "content-security-policy", "date", "x-content-type-options"}

_log = logging.getLogger("charter.contract")


class Conform:
    """The outermost layer: it sees what the client sees, changes nothing, and logs each violation as an error."""

    def __init__(self, app: ASGIApp, contract: Contract, routes: Routes, formats: Mapping[str, Format]) -> None:
        self.app = app
        self._routes = routes
        self._responses = _Responses(contract, format_checker(formats))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer()

        async def watch(message: Message) -> None:
            answer.add(message)
            await send(message)

        await self.app(scope, receive, watch)
        for violation in self._violations(scope, answer):
            facts = {"method": scope["method"], "path": scope["path"], "status": answer.status, "violation": violation}
            _log.error("contract_violation", extra={"facts": facts})

    def _violations(self, scope: Scope, answer: "_Answer") -> Iterator[str]:
        if not answer.is_whole or is_docs(scope["path"]):
            return iter(())
        has_body = scope["method"] != "HEAD"
        try:
            operation = self._routes.find(scope["method"], scope["raw_path"]).operation
        except (NotFound, MethodNotAllowed):
            return self._responses.elsewhere(answer, has_body=has_body)
        return self._responses.of(operation, answer, has_body=has_body)


class _Answer:
    """An answer, put together from its messages."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.body = b""
        self.is_whole = False

    def add(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = Headers(raw=message["headers"])
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
            self.is_whole = not message.get("more_body", False)


class _Responses:
    """What the contract says of answers."""

    def __init__(self, contract: Contract, formats: FormatChecker) -> None:
        self._formats = formats
        document = cast(Json, resolve_refs(contract.document))
        self._elsewhere: Json = document.get("x-elsewhere", {})
        self._by_operation = {
            operation["operationId"]: operation["responses"] for _, _, operation in Contract(document).operations()
        }

    def of(self, operation: Json, answer: _Answer, *, has_body: bool) -> Iterator[str]:
        """What is wrong with an answer of this operation."""
        name = operation["operationId"]
        return self._violations(self._by_operation[name], name, answer, has_body)

    def elsewhere(self, answer: _Answer, *, has_body: bool) -> Iterator[str]:
        """What is wrong with an answer to a request that is for no operation."""
        return self._violations(self._elsewhere, "x-elsewhere", answer, has_body)

    def _violations(self, responses: Json, name: str, answer: _Answer, has_body: bool) -> Iterator[str]:
        response = responses.get(str(answer.status))
        if response is None:
            yield f"{name} does not declare the status {answer.status}"
            return
        yield from self._header_violations(response, answer.headers)
        yield from self._body_violations(response, answer, has_body)

    def _header_violations(self, response: Json, headers: Mapping[str, str]) -> Iterator[str]:
        declared = {name.lower(): header for name, header in response.get("headers", {}).items()}
        if response.get("content"):
            declared["content-type"] = {"required": True, "schema": {"enum": list(response["content"])}}
        for name, header in declared.items():
            if name not in headers and header.get("required"):
                yield f"the header {name} is missing"
            elif name in headers:
                value = _read(headers[name], header["schema"])
                yield from (f"the header {name}{error}" for error in self._errors(header["schema"], value))
        for name in headers.keys() - declared.keys() - _ON_ANY_ANSWER:
            yield f"the header {name} is not declared"

    def _body_violations(self, response: Json, answer: _Answer, has_body: bool) -> Iterator[str]:
        content = response.get("content", {})
        if not content or not has_body:
            if answer.body:
                yield "there is a body where none is declared"
            return
        schema = content.get(answer.headers.get("content-type", ""), {}).get("schema", {})
        try:
            value = json.loads(answer.body)
        except (ValueError, RecursionError):
            yield "the body is not JSON"
            return
        yield from (f"the body{error}" for error in self._errors(schema, value))

    def _errors(self, schema: Json, value: Any) -> Iterator[str]:
        validator = Draft4ResponseValidator(schema, format_checker=self._formats)
        for error in validator.iter_errors(value):
            pointer = "".join(f"/{step}" for step in error.absolute_path)
            yield f"{pointer} breaks {error.validator}"


def _read(text: str, schema: Json) -> int | str:
    is_number = schema.get("type") == "integer" and re.fullmatch("-?[0-9]{1,18}", text)
    return int(text) if is_number else text
