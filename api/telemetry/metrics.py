"""Prometheus metrics of one process. This module, and with it prometheus-client, is imported only if metrics are on.

Label values never come from a client. An operation is one of the contract or "none", and a status is one that Charter
sends.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import mark_process_dead

from api import clock
from api.contract import Outcome
from api.crypto.password_hasher import Work
from api.storage.database import Database

_SAMPLED_SECONDS = 1.0


class Metrics:
    """The metrics of this process, in a folder from which `exporter` reads those of all processes."""

    def __init__(self) -> None:
        # The PID may be reused: drop the gauges of the process that had it before.
        mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        seconds = Histogram("charter_request_seconds", "Response time.", ("operation", "status"), registry=registry)
        problems = Counter("charter_problems", "Error responses, by code.", ("operation", "code"), registry=registry)
        # Cached: looking up a label set costs 1.5 us, more than the counting itself.
        self._seconds: Callable[..., Histogram] = cache(seconds.labels)
        self._problems: Callable[..., Counter] = cache(problems.labels)
        refusals = Counter(
            "charter_rate_limited", "Requests that a rate limit refused.", ("operation", "policy"), registry=registry
        )
        self._refusals: Callable[..., Counter] = cache(refusals.labels)
        mails = Counter("charter_mails", "Attempts to send a mail.", ("template", "outcome"), registry=registry)
        self._mails: Callable[..., Counter] = cache(mails.labels)
        self._oldest_mail = _gauge(
            "charter_mail_oldest_seconds", "Age of the oldest mail that waits.", registry, "livemax"
        )
        self._begun = 0
        self._in_flight = _gauge("charter_requests_in_flight", "Requests in flight.", registry)
        self._hashing = _gauge("charter_password_hashes_running", "Passwords being hashed.", registry)
        self._hashed = Counter("charter_password_hashes", "Passwords hashed.", registry=registry)
        self.ignored_headers = Counter(
            "charter_forwarded_headers_ignored",
            "Requests with forwarded headers of untrusted peers.",
            registry=registry,
        )
        self._connections = _gauge("charter_database_connections_in_use", "Pool connections in use.", registry)
        self._memory = _gauge("charter_process_resident_memory_bytes", "Memory in use.", registry, "liveall")
        started = _gauge(
            "charter_process_start_time_seconds", "Start time of the process, in Unix time.", registry, "liveall"
        )
        started.set(clock.now().timestamp())
        logging.getLogger("charter.requests").addHandler(_RejectedRequestCounter(self._count))

    def begin(self, _: object) -> Callable[[Outcome], None]:
        """Record the start of a request. Call the returned function with its outcome."""
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

    def count_refusal(self, operation: str, policy: str) -> None:
        """Count a request that a rate limit refused."""
        self._refusals(operation, policy).inc()

    def count_mail(self, template: str, outcome: str) -> None:
        """Count an attempt to send a mail."""
        self._mails(template, outcome).inc()

    def set_oldest_mail(self, created_at: datetime | None) -> None:
        """Set the age of the oldest mail that waits. None means that none waits."""
        self._oldest_mail.set(0 if created_at is None else (clock.now() - created_at).total_seconds())

    def instrument(self, work: Work) -> Work:
        """Wrap `work` so that it counts each password hash."""

        def counted(call: Callable[[], Any]) -> Any:
            with self._hashing.track_inprogress():
                result = call()
            self._hashed.inc()
            return result

        return lambda call: work(lambda: counted(call))

    async def keep_sampling(self, database: Database) -> None:
        """Sample every second the values that cause no event when they change."""
        while True:
            self._in_flight.set(self._begun)
            self._connections.set(database.in_use())
            with suppress(OSError):
                self._memory.set(_resident())
            await asyncio.sleep(_SAMPLED_SECONDS)


class _RejectedRequestCounter(logging.Handler):
    """Counts requests that were rejected before they were complete. They appear only in the request log."""

    def __init__(self, count: Callable[[Outcome], None]) -> None:
        super().__init__()
        self._count = count

    def emit(self, record: logging.LogRecord) -> None:
        facts = vars(record).get("facts", {})
        if record.msg == "request" and "method" not in facts:
            self._count(Outcome(None, "", facts["status"], facts["code"], 0.0))


def _gauge(name: str, text: str, registry: CollectorRegistry, mode: str = "livesum") -> Gauge:
    """Return a gauge of all running processes: the sum, the maximum (`livemax`), or one value for each (`liveall`)."""
    return Gauge(name, text, registry=registry, multiprocess_mode=mode)  # type: ignore[arg-type]


def _resident() -> int:
    """Return the resident memory in bytes. Raises OSError if the kernel is not Linux."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
