"""The interface of all places where calls run: thread pools and the bulkhead."""

from collections.abc import Callable
from typing import Protocol, TypeVar

Result = TypeVar("Result")


class Executor(Protocol):
    """Runs calls where they do not block other requests."""

    async def run(self, call: Callable[[], Result]) -> Result:
        """Return the result of `call`. Raises an ApiError instead if the wait would be too long."""
