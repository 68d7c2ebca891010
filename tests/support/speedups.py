"""Caches for work that has the same result in every test.

Each test builds an application of its own. Without these caches, more than a thousand tests would parse the same
contract, resolve its references, compile its schemas and statements and search for RSA primes.
"""

import asyncio
import inspect
import os
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from itertools import cycle
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import anyio
import orjson
import pytest
from anyio._backends._asyncio import CancelScope
from anyio.from_thread import BlockingPortal
from connexion.operations import OpenAPIOperation
from connexion.spec import Specification
from connexion.utils import inspect_function_arguments
from cryptography.hazmat.primitives.asymmetric import rsa
from flask.sansio.scaffold import find_package
from sqlalchemy import Engine
from sqlalchemy.util import LRUCache

from api import app, contract
from api.config.paths import resource_dir
from api.contract.document.checks import check_formats
from api.contract.document.model import Contract
from api.contract.document.operation import Json
from api.contract.schema.formats import Format
from api.contract.schema.schemas import Schemas
from api.contract.schema.validator import RequestValidator, SchemaValidator
from api.storage.engine import make_engine
from tests.support.shared_layers import share_layers
from tests.support.shared_routes import share_routes

Result = TypeVar("Result")
SHIPPED = resource_dir("openapi")


class _Documents:
    """The documents that all applications share, and the results that depend only on a document."""

    def __init__(self) -> None:
        self._shared: dict[int, tuple[Json, bytes]] = {}

    def share(self, document: Json) -> None:
        """Promise that a document is never changed, so that it is identified without reading it."""
        self._shared[id(document)] = document, _content(document)

    def is_shared(self, document: Json) -> bool:
        """Return True if the document is never changed."""
        return id(document) in self._shared

    def check(self) -> None:
        """Raise AssertionError if a shared document was changed."""
        for document, content in self._shared.values():
            assert _content(document) == content

    def once(self, function: Callable[..., Result]) -> Callable[..., Result]:
        """Cache a function of a document by the content of the document and by its other arguments."""
        results: dict[object, Result] = {}

        def result(document: Json, *others: Any) -> Result:
            key = id(document) if self.is_shared(document) else _content(document), *others
            if key not in results:
                results[key] = function(document, *others)
            return results[key]

        return result

    def once_per_contract(self, function: Callable[..., Result]) -> Callable[..., Result]:
        """Cache a function of a contract likewise."""
        contracts: dict[int, Contract] = {}
        cached = self.once(lambda document, *others: function(contracts[id(document)], *others))

        def result(contract: Contract, *others: Any) -> Result:
            contracts[id(contract.document)] = contract
            return cached(contract.document, *others)

        return result


def _content(document: Json) -> bytes:
    """Return the document as JSON. orjson needs a tenth of the time of the standard library."""
    return orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS)


@contextmanager
def speedups() -> Iterator[None]:
    """Apply all caches until the block ends. Raises AssertionError if a shared document was changed in between."""
    documents = _Documents()
    with pytest.MonkeyPatch.context() as patch:
        _share_contracts(documents, patch)
        share_layers(documents, patch)
        share_routes(patch)
        patch.setattr("api.storage.database.make_engine", _sharing_statements(make_engine))
        patch.setattr(OpenAPIOperation, "from_spec", _shared_by_layers(OpenAPIOperation.from_spec))
        patch.setattr("flask.sansio.app.find_package", cache(find_package))
        patch.setattr(inspect, "signature", _signature_once(inspect.signature))
        patch.setattr(
            "connexion.middleware.main.inspect_function_arguments", _arguments_once(inspect_function_arguments)
        )
        patch.setattr(rsa, "generate_private_key", _reused_keys(rsa.generate_private_key))
        # Loading the CA bundle costs 20 ms per client. Tests of TLS have a bundle of their own.
        patch.setattr(ssl, "create_default_context", _by_bundle(ssl.create_default_context))
        # Each client, and each request of Schemathesis, would search the environment for proxies. No test uses one.
        patch.setattr("httpx._utils.getproxies", dict)
        patch.setattr("requests.sessions.get_environ_proxies", lambda *_, **__: {})
        patch.setattr("requests.utils.getproxies_environment", dict)
        patch.setattr("uvicorn.server.asyncio", _ShortPauses())
        patch.setattr(BlockingPortal, "call", _in_this_thread(BlockingPortal.call))
        yield
    documents.check()


def _share_contracts(documents: _Documents, patch: pytest.MonkeyPatch) -> None:
    """Parse, check, publish and compile each contract once."""
    patch.setattr(contract, "load", _load_once(contract.load, documents))
    patch.setattr(contract, "published", documents.once_per_contract(contract.published))
    patch.setattr(app, "formats", cache(app.formats))
    patch.setattr("api.contract.assembly.check_formats", _check_formats_once(check_formats, documents))
    patch.setattr("api.contract.assembly.Schemas", _schemas_once(documents))
    patch.setattr(Specification, "from_dict", documents.once(Specification.from_dict))


def _load_once(load: Callable[[Path], Contract], documents: _Documents) -> Callable[[Path], Contract]:
    """Parse a folder of YAML files once, as long as no file in it changes."""
    contracts: dict[object, Contract] = {}

    def loaded(folder: Path) -> Contract:
        # No test changes the files of the checkout.
        files = None if folder == SHIPPED else _files_in(folder)
        # The faults of a contract name its files.
        key = folder, files
        if key not in contracts:
            contracts[key] = load(folder)
            documents.share(contracts[key].document)
        return contracts[key]

    return loaded


def _files_in(folder: Path) -> tuple[tuple[str, bytes], ...]:
    return tuple((file.name, file.read_bytes()) for file in sorted(folder.glob("*.*")) if file.is_file())


def _check_formats_once(check: Callable[[Any, Any], None], documents: _Documents) -> Callable[[Any, Any], None]:
    """Check each document once for each set of formats. A document with an unknown format raises each time."""
    checked = documents.once_per_contract(check)
    return lambda loaded, formats: checked(loaded, frozenset(formats))


class _SharedSchemas(Schemas):
    """The schemas of one document, each compiled once for all applications."""

    def __init__(self, document: Json, formats: Iterable[tuple[str, Format]]) -> None:
        super().__init__(document, dict(formats))
        self._for_requests: dict[str, RequestValidator] = {}
        self._for_responses: dict[str, SchemaValidator] = {}

    def request_validator(self, schema: Any) -> RequestValidator:
        key = repr(schema)
        if key not in self._for_requests:
            self._for_requests[key] = super().request_validator(schema)
        return self._for_requests[key]

    def response_validator(self, schema: Any) -> SchemaValidator:
        key = repr(schema)
        if key not in self._for_responses:
            self._for_responses[key] = super().response_validator(schema)
        return self._for_responses[key]


def _schemas_once(documents: _Documents) -> Callable[[Json, Mapping[str, Format]], Schemas]:
    """Share the schemas of each document that is served with the same formats."""
    shared = documents.once(_SharedSchemas)
    return lambda document, formats: shared(document, frozenset(formats.items()))


def _shared_by_layers(from_spec: Callable[..., Any]) -> Callable[..., Any]:
    """Build each operation once for each application. Each of three layers would build it."""

    def made(specification: Specification, **options: Any) -> Any:
        # An application has a resolver of its own.
        operations = vars(options["resolver"]).setdefault("operations", {})
        key = options["path"], options["method"]
        if key not in operations:
            operations[key] = from_spec(specification, **options)
        return operations[key]

    return made


class _Statements(LRUCache[Any, Any]):
    """The compiled statements of all engines of one kind of database, without the dialect object of the engine."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(key[1:], default)

    def __setitem__(self, key: Any, statement: Any) -> None:
        super().__setitem__(key[1:], statement)


def _sharing_statements(make_engine: Callable[..., Engine]) -> Callable[..., Engine]:
    """Let the engines of the same kind of database share their compiled statements."""
    caches: dict[str, _Statements] = {}

    def made(*arguments: Any) -> Engine:
        engine = make_engine(*arguments)
        engine._compiled_cache = caches.setdefault(engine.dialect.name, _Statements(1000))
        return engine

    return made


def _signature_once(signature: Callable[..., Any]) -> Callable[..., Any]:
    """Inspect each function once, and each method once for its function: every access creates a new bound method."""
    known: dict[type, WeakKeyDictionary[Any, Any]] = {
        FunctionType: WeakKeyDictionary(),
        MethodType: WeakKeyDictionary(),
    }

    def result(given: Callable[..., Any], **options: Any) -> Any:
        function = given.__func__ if isinstance(given, MethodType) else given
        if options or not isinstance(function, FunctionType):
            return signature(given, **options)
        found = known[type(given)]
        if function not in found:
            found[function] = signature(given)
        return found[function]

    return result


def _arguments_once(inspect_arguments: Callable[..., Any]) -> Callable[..., Any]:
    """Inspect each middleware once. Each application creates a new partial function of it."""
    known: dict[object, Any] = {}

    def result(given: Callable[..., Any]) -> Any:
        key = (given.func, len(given.args), frozenset(given.keywords)) if isinstance(given, partial) else given
        if key not in known:
            known[key] = inspect_arguments(given)
        return known[key]

    return result


class _ShortPauses:
    """asyncio for a server of uvicorn, which makes two pauses of 0.1 seconds when it stops. Here they are shorter."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 10)


def _in_this_thread(call: Callable[..., Any]) -> Callable[..., Any]:
    """Create the events, scopes and streams of Starlette's TestClient without its event loop.

    The client would create four objects of each request in another thread, half of the times that it waits for one.
    """
    stream = anyio.create_memory_object_stream
    made: dict[Any, Any] = {anyio.Event: anyio.Event, anyio.CancelScope: CancelScope, stream: stream}

    def result(portal: BlockingPortal, function: Callable[..., Any], *arguments: Any) -> Any:
        make = made.get(getattr(function, "__origin__", function))
        return make(*arguments) if make else call(portal, function, *arguments)

    return result


def _by_bundle(make: Callable[..., ssl.SSLContext]) -> Callable[..., ssl.SSLContext]:
    """Return a function that makes one context for each CA bundle of the environment and each set of arguments."""
    made = cache(lambda _, *args, **options: make(*args, **options))
    return lambda *args, **options: made(os.environ.get("SSL_CERT_FILE"), *args, **options)


def _reused_keys(generate: Callable[[int, int], rsa.RSAPrivateKey]) -> Callable[..., rsa.RSAPrivateKey]:
    """Generate three keys of each size and return them in turn: finding the primes costs half a second."""

    @cache
    def keys(exponent: int, size: int) -> Iterator[rsa.RSAPrivateKey]:
        return cycle([generate(exponent, size) for _ in range(3)])

    return lambda exponent, size: next(keys(exponent, size))
