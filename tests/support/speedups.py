"""Caches for work that has the same result in every test.

Each test builds an application of its own. Without these caches, more than a thousand tests would parse the same
contract, resolve its references and search for RSA primes.
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from itertools import cycle
from pathlib import Path
from typing import Any

import orjson
import pytest
from connexion.spec import Specification
from cryptography.hazmat.primitives.asymmetric import rsa
from werkzeug.routing import Rule

from api import contract
from api.contract.document.checks import check_formats
from api.contract.document.model import Contract


@contextmanager
def speedups() -> Iterator[None]:
    """Apply all caches until the block ends. Raises AssertionError if a cached contract was changed in between."""
    contracts: dict[object, tuple[Contract, bytes]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contract, "load", _load_once(contract.load, contracts))
        patch.setattr("api.contract.assembly.check_formats", _check_formats_once(check_formats))
        patch.setattr(Rule, "_compile_builder", _compiled_late(Rule._compile_builder))
        patch.setattr(Specification, "from_dict", _once_per_document(Specification.from_dict))
        patch.setattr(rsa, "generate_private_key", _reused_keys(rsa.generate_private_key))
        # Loading the CA bundle costs 20 ms per client, and no test uses TLS.
        patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        # Each client, and each request of Schemathesis, would search the environment for proxies. No test uses one.
        patch.setattr("httpx._utils.getproxies", dict)
        patch.setattr("requests.sessions.get_environ_proxies", lambda *_, **__: {})
        patch.setattr("requests.utils.getproxies_environment", dict)
        yield
    for loaded, content in contracts.values():
        assert _content(loaded.document) == content


def _content(document: Any) -> bytes:
    """Return the document as JSON. orjson needs a tenth of the time of the standard library."""
    return orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS)


def _load_once(load: Callable[[Path], Contract], contracts: dict[Any, Any]) -> Callable[[Path], Contract]:
    """Parse a folder of YAML files once, as long as no file in it changes."""

    def loaded(folder: Path) -> Contract:
        files = tuple((file.name, file.read_bytes()) for file in sorted(folder.glob("*.yaml")))
        if files not in contracts:
            found = load(folder)
            contracts[files] = found, _content(found.document)
        return contracts[files][0]  # type: ignore[no-any-return]

    return loaded


def _check_formats_once(check: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Check each document once for each set of formats. A document with an unknown format raises each time."""
    checked = set()

    def checks(document: Any, formats: Any) -> None:
        key = _content(document), frozenset(formats)
        if key not in checked:
            check(document, formats)
            checked.add(key)

    return checks


def _compiled_late(compile_builder: Callable[..., Any]) -> Callable[..., Any]:
    """Compile the function that builds the URLs of a rule when it is first called. No handler builds URLs."""

    def compiled(rule: Rule, append_unknown: bool = True) -> Callable[..., Any]:
        builder = cache(partial(compile_builder, rule, append_unknown))

        def build(rule: Rule, **values: Any) -> Any:
            return builder()(rule, **values)

        return build

    return compiled


def _once_per_document(function: Callable[..., Any]) -> Callable[..., Any]:
    """Cache a function of one document by the content of the document."""
    results: dict[bytes, Any] = {}

    def result(document: dict[str, Any]) -> Any:
        content = _content(document)
        if content not in results:
            results[content] = function(document)
        return results[content]

    return result


def _reused_keys(generate: Callable[[int, int], rsa.RSAPrivateKey]) -> Callable[..., rsa.RSAPrivateKey]:
    """Generate three keys of each size and return them in turn: finding the primes costs half a second."""

    @cache
    def keys(exponent: int, size: int) -> Iterator[rsa.RSAPrivateKey]:
        return cycle([generate(exponent, size) for _ in range(3)])

    return lambda exponent, size: next(keys(exponent, size))
