"""The handler of orders.yaml: it stands in api/handlers of the Charter that is measured."""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import uuid4

from api import contract

Handler = TypeVar("Handler")
# It waits for nothing, so it may run where requests come in.
nonblocking: Callable[[Handler], Handler] = getattr(contract, "nonblocking", lambda handler: handler)


@nonblocking
def add_order(body: dict[str, Any]) -> dict[str, Any]:
    return body | {"id": str(uuid4())}
