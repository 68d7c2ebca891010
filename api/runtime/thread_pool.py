"""A thread pool for blocking calls. Each kind of work has its own pool, so that no kind waits for another."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from api.runtime.executor import Executor, Result


class ThreadPool(Executor):
    """A pool of at most `most` threads. A call waits when all of them are busy."""

    def __init__(self, name: str, most: int) -> None:
        self._executor = ThreadPoolExecutor(most, name)

    async def run(self, call: Callable[[], Result]) -> Result:
        """Run `call` on a thread and return its result, or raise its exception."""
        # The context is copied so that log lines from the thread have the facts of the request.
        return await asyncio.wrap_future(self._executor.submit(copy_context().run, call))
