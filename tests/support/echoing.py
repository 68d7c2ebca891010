"""An application whose contract has every construct that the engine serves, with handlers that echo their arguments."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from inspect import Parameter, Signature
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import flask
import pytest
from connexion import ConnexionMiddleware
from inflection import underscore

from api import contract
from api.contract import Operation, TypedFormat
from api.contract.document.arguments import argument_names
from api.errors import InvalidCredentials, NotFound
from tests.support.engine import Identity, TransactionLog
from tests.support.paths import BIN, CHECKOUT
from tests.support.serving import serving
from tests.support.success import success_of

SOURCE = Path(__file__).parent / "everything"
ONLY = {"3.0.3": "only_3_0.yaml", "3.1.0": "only_3_1.yaml"}
WEBHOOKS = "webhooks: {made: {post: {responses: {'200': {description: ''}}}}}\n"
CREDENTIAL = "read,write"
"""The token, password or API key that all security schemes accept. It is the list of its scopes."""
FORMATS = {"even": TypedFormat(lambda number: number % 2 == 0, "integer")}
RGB = {"R": 1, "G": 2}
WORDS = ["b", "cd"]


class Country(Enum):
    """A value that leaves as its text."""

    NORWAY = "NO"


def values() -> dict[str, Any]:
    """Return a value of each type that the serializer knows, and members that must not leave."""
    return {
        "date": date(2026, 1, 31),
        "time": time(12, 30, tzinfo=UTC),
        "moment": datetime(2026, 1, 31, 12, tzinfo=UTC),
        "duration": timedelta(days=1, seconds=5),
        "price": Decimal("19.99"),
        "amount": Decimal("0.10"),
        "id": UUID(int=1),
        "bytes": b"\xff\x00",
        "kind": Country.NORWAY,
        "big": 2**70,
        "ratio": 0.5,
        "nothing": None,
        "empty": None,
        "password": "secret",
        "undeclared": "secret",
    }


def statuses(status: int | None) -> Any:
    bodies = {200: 1, 201: "made", 204: None, 303: None}
    headers = {"Location": "/api/v2/items/1"} if status == 303 else {}
    return bodies[status or 200], status or 200, headers


def media(media_type: str) -> Any:
    if media_type == "application/x-ndjson":
        return [RGB, RGB]
    if media_type.endswith("json"):
        return WORDS
    return "a,b\r\n" if media_type.startswith("text/") else b"\x00\xff"


def rows() -> Iterator[dict[str, int]]:
    yield from ({**RGB, "secret": 1} for _ in range(3))


def image(body: contract.UploadedFile) -> bytes:
    with body.open() as sent:
        return sent.read()


def file() -> Any:
    return flask.send_file(BytesIO(b"%PDF"), "application/pdf", as_attachment=True, download_name="ä.pdf")


def response_headers() -> Any:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    headers = {"X-Number": 5, "X-Price": Decimal("1.25"), "X-Flag": True, "X-Moment": noon, "Last-Modified": noon}
    return values(), headers | {"X-Words": WORDS, "X-Rgb": RGB, "X-Exploded": RGB, "X-Json": RGB, "X-Absent": None}


RESULTS: dict[str, Callable[..., Any]] = {
    "statuses": statuses,
    "onlyDefault": lambda: "default",
    "redirect": lambda: flask.redirect("/api/v2/items/1"),
    "media": media,
    "plainText": lambda: "ä\n",
    "rows": rows,
    "putImage": image,
    "anything": lambda: (b"GIF89a", {"Content-Type": "image/gif"}),
    "file": file,
    "jsonify": lambda: flask.jsonify(**RGB, secret=1),
    "responseHeaders": response_headers,
    "dynamicReference": lambda: {"number": 1, "next": {"number": 2, "secret": 3}},
}


def shown(value: Any) -> Any:
    """Return a form of an argument that JSON can express. Files become their size."""
    if isinstance(value, dict):
        return {name: shown(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shown(item) for item in value]
    if isinstance(value, contract.UploadedFile):
        with value.open() as file:
            digest = sha256(file.read()).hexdigest()
        return {"filename": value.filename, "type": value.content_type, "size": value.size, "sha256": digest}
    return sorted(value.scopes) if isinstance(value, Identity) else value


def _echo(operation: Operation) -> Callable[..., Any]:
    """Return a handler that gets all arguments of an operation and returns them, or the body that it got."""

    def handler(**arguments: Any) -> Any:
        if success_of(operation) == "204":
            return None
        if operation.id.startswith("echo"):
            # The server sets the read-only members.
            return {"id": 1, **arguments["body"]} if operation.id == "echoAccount" else arguments["body"]
        return shown(arguments)

    names = {*argument_names(operation).values()}
    names |= {"body"} if operation.body else set()
    names |= {"identity"} if operation.security else set()
    parameters = [Parameter(name, Parameter.KEYWORD_ONLY) for name in sorted(names)]
    handler.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return handler


class Items:
    """The items that clients have made. Links lead from one operation to the others."""

    def __init__(self) -> None:
        self._items: dict[int, dict[str, int]] = {}

    def make(self, body: dict[str, int]) -> Any:
        number = len(self._items) + 1
        self._items[number] = body
        return {"id": number}, 201

    def read(self, id: int) -> dict[str, int]:  # noqa: A002 - the name in the contract
        if not self._items.get(id):
            raise NotFound()
        return self._items[id]

    def remove(self, id: int) -> None:  # noqa: A002 - the name in the contract
        self.read(id)
        self._items[id] = {}


class Everything:
    """The application for one version of OpenAPI. It counts the calls of each handler."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.contract = contract.load(folder)
        self.calls: Counter[str] = Counter()
        items = Items()
        self._items: dict[str, Callable[..., Any]] = {
            "makeItem": items.make,
            "readItem": items.read,
            "removeItem": items.remove,
        }
        monkeypatch.setitem(sys.modules, "everything", _package(folder))
        for tag in self.contract.document["tags"]:
            monkeypatch.setitem(sys.modules, f"everything.{tag['name']}", ModuleType(tag["name"]))
        for operation in self.contract.operations():
            module = sys.modules[f"everything.{operation.definition['tags'][0]}"]
            setattr(module, underscore(operation.id), self._counted(operation))

    def _counted(self, operation: Operation) -> Callable[..., Any]:
        function = RESULTS.get(operation.id) or self._items.get(operation.id) or _echo(operation)

        def handler(**arguments: Any) -> Any:
            self.calls[operation.id] += 1
            return function(**arguments)

        handler.__wrapped__ = function  # type: ignore[attr-defined]
        return handler

    @property
    def operation_ids(self) -> set[str]:
        """The operations of the contract."""
        return {operation.id for operation in self.contract.operations()}

    def write(self, folder: Path) -> Path:
        """Write the published document to a file in this folder, and return the file."""
        file = folder / "published.json"
        file.write_text(json.dumps(contract.published(self.contract)))
        return file

    def fuzz(self, folder: Path, examples: int, seed: int) -> None:
        """Run all phases and checks of Schemathesis against a live server. Assert that none fails.

        It runs in a process of its own, because the hooks of Charter's own campaign are global.
        """
        command = [str(BIN / "schemathesis"), "--config-file", str(SOURCE / "schemathesis.toml"), "run"]
        options = ["--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure", "--no-color"]
        with serving(self.start()) as url:
            where = [str(self.write(folder)), "--url", f"{url}/api/v2"]
            run = subprocess.run(
                [*command, *where, *options], capture_output=True, text=True, check=False, cwd=CHECKOUT
            )
        assert run.returncode == 0, run.stdout + run.stderr
        assert self.operation_ids - self.calls.keys() == set()

    def start(self) -> ConnexionMiddleware:
        """Build the application, which checks all responses."""

        @asynccontextmanager
        async def lifespan(_: object) -> Any:
            yield

        async def identify(*credential: str) -> Identity:
            if credential[-1] != CREDENTIAL:
                raise InvalidCredentials()
            return Identity(frozenset(credential[-1].split(",")))

        return contract.assemble(
            self.contract,
            handlers="everything",
            authenticators=dict.fromkeys(self.contract.document["components"]["securitySchemes"], identify),
            formats=FORMATS,
            serving=contract.HandlerResources(TransactionLog().transaction, {}),
            lifespan=lifespan,
            body_bytes=100_000,
            body_seconds=5,
            check_answers=True,
        )


def _package(folder: Path) -> ModuleType:
    package = ModuleType("everything")
    package.__path__ = []
    package.__file__ = str(folder / "__init__.py")
    return package


def _write(version: str, folder: Path) -> None:
    """Write the contract for a version of OpenAPI to a folder."""
    for path in SOURCE.glob("*.yaml"):
        if path.name not in ONLY.values():
            (folder / path.name).write_text(path.read_text())
    (folder / "versioned.yaml").write_text((SOURCE / ONLY[version]).read_text())
    shared = (SOURCE / "openapi.yaml").read_text().replace("openapi: 3.0.3", f"openapi: {version}")
    (folder / "openapi.yaml").write_text(shared + (WEBHOOKS if version == "3.1.0" else ""))


@pytest.fixture(scope="session")
def everything_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of the contract for each version of OpenAPI. Each folder is parsed and compiled once."""
    folders = {version: tmp_path_factory.mktemp("everything") for version in ONLY}
    for version, folder in folders.items():
        _write(version, folder)
    return folders


@pytest.fixture(params=ONLY)
def everything(
    request: pytest.FixtureRequest, everything_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> Everything:
    """The application for each version of OpenAPI."""
    return Everything(everything_folders[request.param], monkeypatch)
