"""Where what may wait runs: threads, apart for each kind of work, so that one kind never waits for another."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

Found = TypeVar("Found")


class Threads:
    """At most so many threads; who comes when all are busy waits for one."""

    def __init__(self, name: str, most: int) -> None:
        self._executor = ThreadPoolExecutor(most, name)

    async def run(self, call: Callable[[], Found]) -> Found:
        """What `call` returns, or raises."""
        # The log of what happens in the thread is that of the request.
        return await asyncio.get_running_loop().run_in_executor(self._executor, copy_context().run, call)
