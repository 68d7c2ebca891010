"""A pool of threads: calls wait for a free thread, and not for too long."""

import asyncio
import threading
from functools import partial

import pytest

from api.errors import TooBusy
from api.runtime import thread_pool
from api.runtime.thread_pool import ThreadPool
from tests.support.charter import until
from tests.support.patience import PATIENCE_SECONDS


def test_calls_that_wait_too_long_are_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, ran, clock = threading.Event(), [], [0.0]
    monkeypatch.setattr(thread_pool, "monotonic", lambda: clock[0])
    pool = ThreadPool("test", 1, 2.0)

    def begin() -> None:
        ran.append("first")
        gate.wait(PATIENCE_SECONDS)

    async def ask() -> list[object]:
        first = asyncio.create_task(pool.run(begin))
        others = [asyncio.create_task(pool.run(lambda: ran.append("late"))) for _ in range(3)]
        await asyncio.to_thread(until, lambda: ran)
        clock[0] = 2.1
        gate.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    assert [type(each) for each in asyncio.run(ask())] == [type(None), *[TooBusy] * 3]
    assert ran == ["first"]


@pytest.mark.parametrize("seconds", [{}, {"wait_seconds": PATIENCE_SECONDS}])
def test_calls_wait_for_a_free_thread(seconds: dict[str, float]) -> None:
    async def ask() -> list[int]:
        pool = ThreadPool("test", 1, **seconds)
        return await asyncio.gather(*(pool.run(partial(abs, number)) for number in range(5)))

    assert asyncio.run(ask()) == [0, 1, 2, 3, 4]
