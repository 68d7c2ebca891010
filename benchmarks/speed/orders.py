"""The handler of orders.yaml, which the measured Charter has in api/handlers."""

from typing import Any
from uuid import uuid4

from api.contract import nonblocking


@nonblocking
def add_order(body: dict[str, Any]) -> dict[str, Any]:
    return body | {"id": str(uuid4())}
