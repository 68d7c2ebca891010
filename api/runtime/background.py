"""A background thread of a worker process, which runs tasks in small steps."""

import logging
import threading
from collections.abc import Callable, Sequence
from random import SystemRandom
from time import monotonic

from api.errors import ApiError
from api.runtime.priority import lower_priority

Task = Callable[[], bool]
"""Does one small step of work, and returns True if more work is waiting."""

_MIN_PAUSE = 0.02
_IDLE_SECONDS = 2.0
_RETRY_SECONDS = 10.0
# It has no state, so it changes no sequence of random numbers that another thread has seeded.
_uniform = SystemRandom().uniform

_log = logging.getLogger("charter.background")


class BackgroundWorker:
    """Runs each task about every 2 seconds, and more often while the task has more work.

    A task with more work waits `pause_ratio` times as long as its last step took, and the thread has a low priority, so
    that requests come first. A task that fails is logged and tried again after 10 seconds. The other tasks go on.
    """

    def __init__(self, tasks: Sequence[Task], pause_ratio: float = 29, stop_seconds: float = 1) -> None:
        self._tasks = tasks
        self._pause_ratio = pause_ratio
        self._stop_seconds = stop_seconds
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="background", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the step in progress. Wait for it for at most `stop_seconds`."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(self._stop_seconds)

    def _run(self) -> None:
        lower_priority()
        # Workers that started together take their steps at different times.
        due = dict.fromkeys(self._tasks, monotonic() + _uniform(0, _IDLE_SECONDS))
        while due and not self._stopping.wait(max(0.0, min(due.values()) - monotonic())):
            task = min(due, key=due.__getitem__)
            began = monotonic()
            due[task] = self._seconds_to_next(_step(task), monotonic() - began) + monotonic()

    def _seconds_to_next(self, more: bool | None, took: float) -> float:
        if more is None:
            return _RETRY_SECONDS
        return max(_MIN_PAUSE, self._pause_ratio * took) if more else _IDLE_SECONDS * _uniform(0.8, 1.2)


def _step(task: Task) -> bool | None:
    """Run one step of a task. Return whether more work is waiting, or None if the step failed."""
    try:
        return task()
    except ApiError as error:
        _log.warning("background_task_failed", extra={"facts": {"code": error.code}})
    except Exception:
        _log.exception("background_task_failed")
    return None
