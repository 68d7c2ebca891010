"""A bulkhead for slow calls such as password hashing.

Slow calls queue only behind each other, so they never delay other requests. A call whose turn would come too late is
rejected at once. The slow part of a call (its work) runs on a few low-priority threads. Other requests come first, but
the work keeps a share of a busy core.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from math import ceil
from time import monotonic

from api.errors import TooBusy
from api.runtime.executor import Executor, Result
from api.runtime.priority import lower_priority

_MAX_WAIT_SECONDS = 2.0
_SPREAD_SECONDS = 10.0
# The weight of the newest duration in the moving average.
_WEIGHT = 0.2


class _Call:
    """A call and the seconds that its work has taken so far."""

    def __init__(self) -> None:
        self._done = 0.0
        self._began: float | None = None

    @property
    def seconds(self) -> float:
        began = self._began
        return self._done + (0.0 if began is None else monotonic() - began)

    def work(self, call: Callable[[], Result]) -> Result:
        began = self._began = monotonic()
        try:
            return call()
        finally:
            self._began = None
            self._done += monotonic() - began


_current_call: ContextVar[_Call] = ContextVar("turn")


class Bulkhead(Executor):
    """Runs the work of at most `max_concurrent` calls at once.

    `initial_estimate` is the expected duration of a call's work in seconds, until some have been measured.
    """

    def __init__(self, max_concurrent: int, initial_estimate: float) -> None:
        self._max_concurrent = max_concurrent
        self._average = initial_estimate
        self._calls: set[_Call] = set()
        self._last_retry_at = 0.0
        # Twice as many, so that the work of the next call can start while the previous call finishes.
        self.threads = 2 * max_concurrent
        self._open()

    async def run(self, call: Callable[[], Result]) -> Result:
        """Run a call in its turn. Raises TooBusy at once if the wait would exceed 2 seconds."""
        self._admit()
        turn, context = _Call(), copy_context()
        context.run(_current_call.set, turn)
        self._calls.add(turn)
        try:
            return await asyncio.wrap_future(self._callers.submit(context.run, call))
        finally:
            self._calls.discard(turn)
            self._update_average(turn.seconds)

    def run_work(self, call: Callable[[], Result]) -> Result:
        """Run the slow part of a call on a low-priority thread and wait for its result.

        Code outside a call may use this method, too.
        """
        turn = _current_call.get(None) or _Call()
        return self._workers.submit(turn.work, call).result()

    def close(self) -> None:
        """End the threads after the work in progress. Later calls get new threads."""
        callers, workers = self._callers, self._workers
        self._open()
        # Work that has not started is cancelled, because no client waits for its result any more.
        workers.shutdown(wait=False, cancel_futures=True)
        callers.shutdown(cancel_futures=True)
        workers.shutdown()

    def _open(self) -> None:
        self._callers = ThreadPoolExecutor(self.threads, "caller")
        self._workers = ThreadPoolExecutor(self._max_concurrent, "work", initializer=lower_priority)

    def _admit(self) -> None:
        begun = [turn.seconds for turn in list(self._calls)]
        if len(begun) < self._max_concurrent:
            return
        # Work that takes longer than the average means that the core is busier now, so its time is the estimate.
        average = max([self._average, *begun])
        wait = (average * len(begun) - sum(begun)) / self._max_concurrent
        if wait > _MAX_WAIT_SECONDS:
            raise TooBusy(self._retry_after(wait - _MAX_WAIT_SECONDS, average / self._max_concurrent))

    def _retry_after(self, free_in: float, apart: float) -> int:
        """Return the Retry-After in seconds, staggered behind the callers rejected before this one."""
        now = monotonic()
        free = now + free_in
        # The stagger is capped, because some clients ignore Retry-After.
        behind = max(self._last_retry_at + apart, free)
        self._last_retry_at = behind if behind < free + _SPREAD_SECONDS else free
        return ceil(self._last_retry_at - now)

    def _update_average(self, seconds: float) -> None:
        # Calls without any work must not lower the average.
        if seconds > 0:
            self._average += (seconds - self._average) * _WEIGHT
