"""The structure check: it accepts and rejects what the schemas of the OpenAPI specification do, in other words."""

from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

import pytest
from jsonschema_rs import Draft4Validator, Draft202012Validator
from schemathesis.specs.openapi.definitions import OPENAPI_30, OPENAPI_31

from api import contract
from api.contract.document.faults import Faults
from api.contract.document.operation import Json
from api.contract.document.structure import Structure
from tests.support.shipped import CONTRACT
from tests.support.structures import EVERY_OBJECT, EVERY_SCHEMA_OF_3_1

PUBLISHED = contract.published(CONTRACT)
OFFICIAL = [
    ("3.0.3", Draft4Validator(OPENAPI_30, validate_formats=False)),
    ("3.1.0", Draft202012Validator(OPENAPI_31, validate_formats=False)),
]
# These values are of the wrong type in most places.
WRONG: list[Any] = [None, True, 7, 1.5, "x", [], {}, [7], {"x": 7}]


def faults_of(document: Json) -> list[str]:
    """Return the faults that the structure check finds."""
    faults = Faults()
    Structure(document, faults)
    return [fault.message for fault in faults.found]


def every_object(version: str) -> Json:
    """Return a valid document of a version that has every object and field of OpenAPI."""
    every = deepcopy(EVERY_OBJECT) | {"openapi": version}
    if version.startswith("3.1"):
        every["components"]["schemas"] = deepcopy(EVERY_SCHEMA_OF_3_1)
        every |= {"webhooks": {"x": {"post": {}}}, "jsonSchemaDialect": "https://example.com/dialect"}
    return every


def nodes(node: Any) -> Iterator[Any]:
    """Yield every object and list of a document, apart from those in examples and other free values."""
    if isinstance(node, dict | list):
        yield node
    for name, part in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if name not in {"example", "value", "default", "enum", "const", "examples"} and not str(name).startswith("x-"):
            yield from nodes(part)


def mutate(document: Json, random: Random) -> None:
    """Change one place of a document: remove, misspell, add or retype a member."""
    node = random.choice([node for node in nodes(document) if node])
    key = random.choice([*node]) if isinstance(node, dict) else random.randrange(len(node))
    change = random.choice(("remove", "misspell", "retype", "retype"))
    if change == "retype":
        node[key] = deepcopy(random.choice(WRONG))
    elif change == "remove":
        del node[key]
    elif isinstance(node, dict):
        node[f"{key}z"] = node.pop(key)


@pytest.mark.parametrize(("version", "official"), OFFICIAL)
def test_the_check_accepts_what_the_official_schema_accepts(version: str, official: Any) -> None:
    for document in (every_object(version), PUBLISHED | {"openapi": version}):
        assert [error.message for error in official.iter_errors(document)] == []
        assert faults_of(document) == []


@pytest.mark.slow
@pytest.mark.parametrize(("version", "official"), OFFICIAL)
def test_the_check_rejects_what_the_official_schema_rejects(version: str, official: Any) -> None:
    random = Random(1)  # noqa: S311 - not used for security
    rejected = 0
    for _ in range(400):
        # This document has every object and field. The contract would take most of the time, and has fewer.
        document = every_object(version)
        mutate(document, random)
        # The official schema of 3.1 accepts only strings as the parameters of a link, unlike the specification.
        if errors := [error for error in official.iter_errors(document) if "links" not in error.instance_path]:
            rejected += 1
            assert faults_of(document), errors[0]
    assert rejected > 200
