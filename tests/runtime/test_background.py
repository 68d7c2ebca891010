"""The background thread: it runs tasks in steps, survives their failures, and stops."""

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from api import models
from api.config import Config
from api.errors import DatabaseUnavailable
from api.runtime import background
from api.runtime.background import BackgroundWorker, Task
from api.storage.database import Database
from tests.support.charter import until
from tests.support.niceness import niceness
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import newcomer
from tests.support.rows import count
from tests.support.types import Travel
from tests.support.workers import worker


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits between steps."""
    for name in ("_MIN_PAUSE", "_IDLE_SECONDS", "_RETRY_SECONDS"):
        monkeypatch.setattr(background, name, 0.001)


@pytest.fixture
def started() -> Iterator[list[BackgroundWorker]]:
    """Yield the list of the workers that a test starts, and stop them at its end."""
    workers: list[BackgroundWorker] = []
    yield workers
    for each in workers:
        each.stop()


def run(started: list[BackgroundWorker], *tasks: Task) -> BackgroundWorker:
    started.append(BackgroundWorker(tasks))
    started[-1].start()
    return started[-1]


class Steps:
    """A task that counts its steps, with the result of each step in turn."""

    def __init__(self, *results: bool | Exception) -> None:
        self._results = iter(results)
        self.count = 0

    def __call__(self) -> bool:
        result = next(self._results, False)
        self.count += 1
        if isinstance(result, Exception):
            raise result
        return result


def test_tasks_run_at_a_low_priority(started: list[BackgroundWorker]) -> None:
    found: list[int] = []

    def task() -> bool:
        found.append(niceness())
        return False

    run(started, task)
    until(lambda: found)
    assert found[0] == niceness() + 4


def test_all_tasks_run_again_and_again(started: list[BackgroundWorker]) -> None:
    tasks = Steps(True, True), Steps()
    run(started, *tasks)
    until(lambda: all(task.count > 3 for task in tasks), seconds=PATIENCE_SECONDS)


@pytest.mark.parametrize("error", [DatabaseUnavailable(), LookupError("unforeseen")])
def test_a_failed_task_is_logged_and_retried(
    started: list[BackgroundWorker], caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    failing, other = Steps(error), Steps()
    with caplog.at_level(logging.WARNING, "charter.background"):
        run(started, failing, other)
        until(lambda: failing.count > 1 and other.count > 1, seconds=PATIENCE_SECONDS)
    assert [record.message for record in caplog.records] == ["background_task_failed"]


def test_a_step_ends_before_the_worker_has_stopped(started: list[BackgroundWorker]) -> None:
    begun, may_end = threading.Event(), threading.Event()
    ended = []

    def step() -> bool:
        begun.set()
        may_end.wait()
        ended.append(True)
        return False

    stopping = run(started, step)
    begun.wait()
    threading.Timer(0.01, may_end.set).start()
    stopping.stop()
    assert ended == [True]


def test_a_worker_without_tasks_stops(started: list[BackgroundWorker]) -> None:
    run(started).stop()


def test_a_process_purges_expired_sessions(config: Config, database: Database, travel: Travel) -> None:
    with worker(config) as client:
        newcomer(client, "alice").log_in()
    assert count(database, models.sessions) == 2
    travel(timedelta(days=30, hours=2))
    with worker(replace(config, background="on")) as client:
        newcomer(client, "bobby")
        until(lambda: count(database, models.sessions) == 1, seconds=PATIENCE_SECONDS)
