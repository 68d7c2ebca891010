"""Call operations through the generated Python client of the contract with every construct.

The program reads calls from standard input, and writes the status and the value of each response as JSON.
"""

import json
import sys
from enum import Enum
from importlib import import_module
from io import BytesIO
from types import ModuleType
from typing import Any, get_args, get_type_hints

from everything_client import AuthenticatedClient, Client  # type: ignore[import-not-found]
from everything_client.types import File  # type: ignore[import-not-found]


def value_for(kind: Any, value: Any) -> Any:
    """Return the value as the first class of a type hint that accepts it."""
    for candidate in (*get_args(kind), kind):
        if candidate is File:
            return File(BytesIO(value.encode("latin-1")))
        if hasattr(candidate, "from_dict") and isinstance(value, dict):
            try:
                return candidate.from_dict(value)
            except (KeyError, TypeError, ValueError):
                continue
        if isinstance(candidate, type) and issubclass(candidate, Enum):
            return candidate(value)
    return value


def call(module: ModuleType, client: Client, given: dict[str, Any]) -> tuple[int, Any, bool]:
    """Call an operation. Return the status, the value, and True if the client has parsed it."""
    hints = get_type_hints(module.sync_detailed)
    if module.__name__.endswith("post_multipart"):
        given["body"]["file"] = b""
    arguments = {name: value_for(hints[name], value) for name, value in given.items()}
    if module.__name__.endswith("post_multipart"):
        arguments["body"].file = File(BytesIO(b"\x89PNG"), "a.png", "image/png")
    response = module.sync_detailed(client=client, **arguments)
    if isinstance(response.parsed, File):
        return response.status_code, response.parsed.payload.read().decode("latin-1"), True
    return response.status_code, json.loads(response.content or b"null"), response.parsed is not None


url, calls = json.load(sys.stdin)
clients = {False: Client(url), True: AuthenticatedClient(url, "read,write")}
results = []
for tag, name, given, is_authenticated in calls:
    module = import_module(f"everything_client.api.{tag}.{name}")
    results.append(call(module, clients[is_authenticated], given))
print(json.dumps(results))
