"""A hook of Schemathesis that reads responses in application/x-ndjson, so that it validates them."""

import json
from typing import Any

import schemathesis
from schemathesis import Response


@schemathesis.deserializer("application/x-ndjson")
def rows(_: Any, response: Response) -> list[Any]:
    """Return the rows of a response."""
    return [json.loads(line) for line in response.content.splitlines()]
