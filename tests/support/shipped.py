"""Charter's own contract, parsed once for all modules with tests."""

from functools import cache

from connexion.json_schema import resolve_refs

from api import contract
from api.config.paths import resource_dir
from api.contract.document.operation import Json

CONTRACT = contract.load(resource_dir("openapi"))
"""The contract. No test changes it."""


@cache
def resolved() -> Json:
    """Return the document with its references replaced by what they refer to."""
    return resolve_refs(CONTRACT.document)  # type: ignore[no-any-return]
