"""A small contract with its own handlers, to test the contract engine apart from Charter's operations."""

import sys
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from connexion import ConnexionMiddleware
from starlette.testclient import TestClient

from api import contract

SHARED = """
openapi: 3.0.3
info: {title: Engine, version: '1'}
security: []
paths: {}
components:
  securitySchemes:
    bearer: {type: http, scheme: bearer}
"""


FREE = "{type: object, additionalProperties: true}"
ECHO = f"responses: {{'200': {{description: '', content: {{application/json: {{schema: {FREE}}}}}}}}}"


PARTS = f"""
tags: [{{name: a}}]
paths:
  /path/{{number}}/{{flag}}/{{word}}:
    get:
      tags: [a]
      operationId: echoPath
      parameters:
        - {{$ref: '#/components/parameters/Number'}}
        - {{name: flag, in: path, required: true, schema: {{type: boolean}}}}
        - {{name: word, in: path, required: true, schema: {{$ref: '#/components/schemas/Word'}}}}
      {ECHO}
  /path/1/true/own:
    get:
      tags: [a]
      operationId: echoNothing
      {ECHO}
  /query:
    get:
      tags: [a]
      operationId: echoQuery
      parameters:
        - {{name: number, in: query, schema: {{type: integer, minimum: -5, default: 7}}}}
        - {{name: flag, in: query, schema: {{type: boolean}}}}
        - {{name: word, in: query, schema: {{$ref: '#/components/schemas/Word'}}}}
      {ECHO}
  /must:
    get:
      tags: [a]
      operationId: echoMust
      parameters: [{{name: word, in: query, required: true, schema: {{type: string}}}}]
      {ECHO}
  /things:
    get:
      tags: [a]
      operationId: listThings
      responses:
        '200':
          description: ''
          content:
            application/json:
              schema: {{type: array, items: {{$ref: '#/components/schemas/Thing'}}}}
    post:
      tags: [a]
      operationId: addThing
      responses: {{'201': {{description: ''}}}}
components:
  parameters:
    Number: {{name: number, in: path, required: true, schema: {{type: integer}}}}
  schemas:
    Word: {{type: string, maxLength: 5, format: word}}
    Thing:
      type: object
      additionalProperties: false
      required: [id]
      properties:
        id: {{type: string}}
        at: {{type: string, format: date-time}}
        note: {{type: string}}
"""


REQUEST_BODY = "{content: {application/json: {schema: {type: object}}}}"


OPERATION = f"{{tags: [a], operationId: listThings, {ECHO}}}"


def document(operation: str, address: str = "/x") -> str:
    """Return the file of the tag `a` with one GET operation."""
    return f"tags: [{{name: a}}]\npaths:\n  {address}:\n    get: {operation}\n"


class TransactionLog:
    """A stand-in for the database that records how each transaction ends."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    @contextmanager
    def transaction(self) -> Iterator["TransactionLog"]:
        try:
            yield self
        except Exception:
            self.outcomes.append("rolled back")
            raise
        self.outcomes.append("committed")


def echo_path(number: int, flag: bool, word: str) -> dict[str, Any]:
    return {"number": number, "flag": flag, "word": word}


def echo_nothing() -> dict[str, Any]:
    return {"own": True}


def echo_query(number: int, flag: bool | None, word: str | None) -> dict[str, Any]:
    return {"number": number, "flag": flag, "word": word}


def echo_must(word: str) -> dict[str, Any]:
    return {"word": word}


def list_things() -> list[object]:
    return []


def add_thing() -> None:
    return None


def returning(result: object) -> Callable[[TransactionLog], object]:
    """Return a handler that opens a transaction and returns `result`."""

    def handler(db: TransactionLog) -> object:
        return result

    return handler


HANDLERS = (echo_path, echo_nothing, echo_query, echo_must, list_things, add_thing)


@dataclass(frozen=True)
class Identity:
    """The caller of a request. Its token is a comma-separated list of scopes."""

    scopes: frozenset[str]
    needs_scopes: bool = False


class Engine:
    """A folder with a contract and a module with handlers. Tests change both before the application starts."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.transactions = TransactionLog()
        self.formats: dict[str, Callable[[str], bool]] = {"word": str.isalpha}
        self.resources: dict[str, Any] = {}
        self.authenticators: dict[str, Any] = {}
        self.features: dict[str, bool] = {}
        self.check_answers = False
        self.handlers = ModuleType("made.a")
        for handler in HANDLERS:
            setattr(self.handlers, handler.__name__, handler)
        package = ModuleType("made")
        package.__path__ = []
        package.__file__ = str(folder / "__init__.py")
        monkeypatch.setitem(sys.modules, "made", package)
        monkeypatch.setitem(sys.modules, "made.a", self.handlers)
        self.write(PARTS)
        (folder / "openapi.yaml").write_text(SHARED)

    def write(self, text: str, file: str = "a.yaml") -> None:
        """Write a file of the contract."""
        (self.folder / file).write_text(text)

    def start(self) -> ConnexionMiddleware:
        """Load the contract and build the application. Raises ContractError if they do not match."""

        @asynccontextmanager
        async def lifespan(_: object) -> Any:
            yield

        async def identify(token: str) -> Identity:
            return Identity(frozenset(token.split(",")))

        return contract.assemble(
            contract.with_features(contract.load(self.folder), self.features),
            handlers="made",
            authenticators={"bearer": identify, **self.authenticators},
            formats=self.formats,
            serving=contract.HandlerResources(self.transactions.transaction, self.resources),
            lifespan=lifespan,
            body_bytes=1024,
            body_seconds=5,
            check_answers=self.check_answers,
        )

    def request(self, path: str, method: str = "GET", **options: Any) -> Any:
        """Start the application, send one request and return the response."""
        with TestClient(self.start()) as client:
            return client.request(method, path, **options)
