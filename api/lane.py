"""A lane for calls that take long: they wait for each other, nobody else waits for them, and none waits for long.

A call has its turn in a thread of the lane, at normal priority. What takes long in it is its work: few works are done
at once, at low priority, so that everything else goes first, and yet the works keep a share of a busy core.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from math import ceil
from time import monotonic
from typing import TypeVar

from api.errors import TooBusy

_PATIENCE_SECONDS = 2.0
_SPREAD_SECONDS = 10.0
# On Linux this is 29 % of a core that others would fill; 3 is 34 %, 5 is 25 %, 19 is 2 %.
_NICENESS = 4
# How much the newest of the durations weighs in their average.
_WEIGHT = 0.2

Result = TypeVar("Result")


class _Turn:
    """One call, and the seconds that its works have taken so far."""

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


_turn: ContextVar[_Turn] = ContextVar("turn")


class Lane:
    """So many `places` to work at once; `guess` is the seconds of a turn's work until some have been measured."""

    def __init__(self, places: int, guess: float) -> None:
        self._places = places
        self._pace = guess
        self._turns: set[_Turn] = set()
        self._told = 0.0
        # Twice as many, so that the next work can begin while the turn before comes to its end.
        self.threads = 2 * places
        self._open()

    async def run(self, call: Callable[[], Result]) -> Result:
        """Give a call its turn; raises TooBusy, at once, if it would have to wait for more than 2 seconds."""
        self._check_wait()
        turn, context = _Turn(), copy_context()
        context.run(_turn.set, turn)
        self._turns.add(turn)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._callers, context.run, call)
        finally:
            self._turns.discard(turn)
            self._learn(turn.seconds)

    def work(self, call: Callable[[], Result]) -> Result:
        """Do what takes long, when there is a place, and wait for it; who has no turn may ask, too."""
        turn = _turn.get(None) or _Turn()
        return self._workers.submit(turn.work, call).result()

    def close(self) -> None:
        """End the threads, after the works under way; who asks again gets others."""
        callers, workers = self._callers, self._workers
        self._open()
        # What was not begun is done for nobody any more.
        workers.shutdown(wait=False, cancel_futures=True)
        callers.shutdown(cancel_futures=True)
        workers.shutdown()

    def _open(self) -> None:
        self._callers = ThreadPoolExecutor(self.threads, "lane")
        self._workers = ThreadPoolExecutor(self._places, "work", initializer=_step_back)

    def _check_wait(self) -> None:
        begun = [turn.seconds for turn in list(self._turns)]
        if len(begun) < self._places:
            return
        # A work that takes longer than those before it tells more than they do: the core is busier now.
        pace = max([self._pace, *begun])
        wait = (pace * len(begun) - sum(begun)) / self._places
        if wait > _PATIENCE_SECONDS:
            raise TooBusy(self._next_try(wait - _PATIENCE_SECONDS, pace / self._places))

    def _next_try(self, free_in: float, apart: float) -> int:
        """The seconds until there is a place for who is refused now, who comes after all who were refused before."""
        now = monotonic()
        free = now + free_in
        # Not all heed it: those who do not put nobody off for longer than this.
        told = max(self._told + apart, free)
        self._told = told if told < free + _SPREAD_SECONDS else free
        return ceil(self._told - now)

    def _learn(self, seconds: float) -> None:
        # A call that had no work done tells nothing of those that have.
        if seconds > 0:
            self._pace += (seconds - self._pace) * _WEIGHT


def _step_back() -> None:
    """Let the other threads go first; only on Linux has a thread a niceness of its own."""
    if sys.platform == "linux":
        os.nice(_NICENESS)
