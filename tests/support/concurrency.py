"""Start calls at the same moment, each in a thread of its own."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tests.support.patience import PATIENCE_SECONDS

Found = TypeVar("Found")


def at_once(*calls: Callable[[], Found]) -> list[Found]:
    """Run the calls at the same moment, each in a thread of its own, and return their results."""
    start = threading.Barrier(len(calls))

    def begin(call: Callable[[], Found]) -> Found:
        start.wait(timeout=PATIENCE_SECONDS)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(begin, calls))
