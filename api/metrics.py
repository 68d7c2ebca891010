"""What a process counts of its work; what it counts with, prometheus-client, is imported only when it counts.

No label has a word that a stranger chose: an operation is one of the contract or "none", a status is one of ours.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import mark_process_dead

from api import clock
from api.contract import Outcome, Parent
from api.database import Database
from api.hashing import Work

_SAMPLED_SECONDS = 1.0

Result = TypeVar("Result")


class Metrics:
    """The figures of this process, kept in a folder where `exporter` finds those of all."""

    def __init__(self) -> None:
        # Its number may have been another's, who died.
        mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        seconds = Histogram("charter_request_seconds", "Time to answer.", ("operation", "status"), registry=registry)
        problems = Counter("charter_problems", "Errors answered, by code.", ("operation", "code"), registry=registry)
        # To find the one with these labels takes longer than to count (1.5 us), unless it is remembered.
        self._seconds: Callable[..., Histogram] = cache(seconds.labels)
        self._problems: Callable[..., Counter] = cache(problems.labels)
        self._begun = 0
        self._in_flight = _now("charter_requests_in_flight", "Requests being answered.", registry)
        self._hashing = _now("charter_password_hashes_running", "Passwords being hashed.", registry)
        self._hashed = Counter("charter_password_hashes", "Passwords hashed.", registry=registry)
        self._connections = _now("charter_database_connections_in_use", "Connections taken from the pool.", registry)
        self._memory = _now("charter_process_resident_memory_bytes", "Memory in use.", registry, "liveall")
        started = _now(
            "charter_process_start_time_seconds", "When the process began, in Unix time.", registry, "liveall"
        )
        started.set(clock.now().timestamp())
        logging.getLogger("charter.requests").addHandler(_Refusals(self._count))

    def begin(self, _: Parent | None) -> Callable[[Outcome], None]:
        """A request begins; what it comes to is for the function that this returns."""
        self._begun += 1
        return self._end

    def _end(self, outcome: Outcome) -> None:
        self._begun -= 1
        self._count(outcome)

    def _count(self, outcome: Outcome) -> None:
        operation = outcome.operation_id or "none"
        self._seconds(operation, outcome.status or "none").observe(outcome.seconds)
        if outcome.code is not None:
            self._problems(operation, outcome.code).inc()

    def counting(self, work: Work) -> Work:
        """The same, with each hash counted."""

        def counted(call: Callable[[], Result]) -> Result:
            with self._hashing.track_inprogress():
                result = call()
            self._hashed.inc()
            return result

        return lambda call: work(lambda: counted(call))

    async def keep_sampling(self, database: Database) -> None:
        """Look every second at what nobody tells of."""
        while True:
            self._in_flight.set(self._begun)
            self._connections.set(database.in_use())
            with suppress(OSError):
                self._memory.set(_resident())
            await asyncio.sleep(_SAMPLED_SECONDS)


class _Refusals(logging.Handler):
    """Hears of requests that were refused before they were whole: of those there is but a line in the log."""

    def __init__(self, count: Callable[[Outcome], None]) -> None:
        super().__init__()
        self._count = count

    def emit(self, record: logging.LogRecord) -> None:
        facts = vars(record).get("facts", {})
        if record.msg == "request" and "method" not in facts:
            self._count(Outcome(None, "", facts["status"], facts["code"], 0.0))


def _now(name: str, text: str, registry: CollectorRegistry, mode: str = "livesum") -> Gauge:
    """A figure of the moment: the sum of all processes that live, or one of each (`liveall`)."""
    return Gauge(name, text, registry=registry, multiprocess_mode=mode)  # type: ignore[arg-type]


def _resident() -> int:
    """Bytes; raises OSError where the kernel is not Linux."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
