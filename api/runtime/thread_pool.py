"""A thread pool for blocking calls. Each kind of work has its own pool, so that no kind waits for another."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from math import inf
from time import monotonic

from api.errors import TooBusy
from api.runtime.executor import Executor, Result


class ThreadPool(Executor):
    """A pool of at most `most` threads. A call waits when all of them are busy, for at most `wait_seconds`."""

    def __init__(self, name: str, most: int, wait_seconds: float = inf) -> None:
        self._executor = ThreadPoolExecutor(most, name)
        self._wait_seconds = wait_seconds

    async def run(self, call: Callable[[], Result]) -> Result:
        """Run `call` on a thread and return its result, or raise its exception.

        Raises TooBusy if no thread was free in time.
        """
        # The context is copied so that log lines from the thread have the facts of the request.
        return await asyncio.wrap_future(self._executor.submit(copy_context().run, self._begin, call, monotonic()))

    def _begin(self, call: Callable[[], Result], queued: float) -> Result:
        if monotonic() - queued > self._wait_seconds:
            raise TooBusy()
        return call()
