"""The handler of orders.yaml: it stands in api/handlers of the Charter that is measured."""

from typing import Any
from uuid import uuid4

from api.contract import nonblocking


@nonblocking
def add_order(body: dict[str, Any]) -> dict[str, Any]:
    return body | {"id": str(uuid4())}
