"""Requests at a constant rate. A request that has to wait for a connection counts its wait."""

import asyncio
import json
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import quantiles
from time import perf_counter
from typing import NamedTuple, Protocol, cast

import uvloop

from benchmarks.speed import client
from benchmarks.speed.load import Request

_CONNECTIONS = 32
_TICK_SECONDS = 0.001
_PATIENCE_SECONDS = 30


class Source(Protocol):
    """Requests to send."""

    def take(self) -> Request:
        """Return the next request."""

    def give(self, body: bytes) -> None:
        """Take the body of a successful response."""


@dataclass(frozen=True)
class Again:
    """The same request each time."""

    request: Request

    def take(self) -> Request:
        return self.request

    def give(self, body: bytes) -> None:
        pass


class Each:
    """Requests, each of them once."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self._requests = iter(requests)

    def take(self) -> Request:
        return next(self._requests)

    def give(self, body: bytes) -> None:
        pass


class Chain:
    """Refreshes, each with the token of an earlier response. `tokens` must be more than the connections."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._tokens = deque(tokens)

    def take(self) -> Request:
        return client.refresh(self._tokens.popleft())

    def give(self, body: bytes) -> None:
        self._tokens.append(json.loads(body)["refresh_token"])


class Paced(NamedTuple):
    """The milliseconds from the due time of a request to its response, and the count of each status."""

    p50: float
    p99: float
    statuses: Counter[int]

    @property
    def responses(self) -> int:
        return self.statuses.total()


def paced(port: int, source: Source, rate: float, seconds: float) -> Paced:
    """Send the requests of a source to a port on this machine, `rate` per second. Raises TimeoutError if one hangs."""
    return uvloop.run(_send(port, source, rate, seconds))


async def _send(port: int, source: Source, rate: float, seconds: float) -> Paced:
    load = _Load(port, source)
    began = perf_counter()
    count = round(rate * seconds)
    for number in range(count):
        due = began + number / rate
        while perf_counter() < due:
            await asyncio.sleep(_TICK_SECONDS)
        load.add(due)
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await load.end(count)
    percentiles = quantiles(load.taken, n=100, method="inclusive")
    return Paced(1000 * percentiles[49], 1000 * percentiles[98], load.statuses)


@dataclass
class _Load:
    """The connections, and the requests that wait for one of them."""

    port: int
    source: Source
    taken: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    _idle: "list[_Connection]" = field(default_factory=list)
    _opened: int = 0
    _due: deque[float] = field(default_factory=deque)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _openings: list[asyncio.Task[None]] = field(default_factory=list)

    def add(self, due: float) -> None:
        """Send a request that is due at this time, or queue it until a connection is free."""
        self._due.append(due)
        if self._idle:
            self.go_on(self._idle.pop())
        elif self._opened < _CONNECTIONS:
            self._open()

    def _open(self) -> None:
        self._opened += 1
        self._openings.append(asyncio.create_task(self._connect()))

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.port)
        self.go_on(connection)

    def go_on(self, connection: "_Connection") -> None:
        """Send the next due request on a connection, or mark the connection as idle."""
        if self._due:
            connection.send(self.source.take(), self._due.popleft())
        else:
            self._idle.append(connection)

    def close(self, connection: "_Connection") -> None:
        """Remove a closed connection. Open another one if requests wait."""
        self._opened -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        if self._due:
            self._open()

    def finish(self, status: int, body: bytes, due: float) -> None:
        """Count a response."""
        self.taken.append(perf_counter() - due)
        self.statuses[status] += 1
        if status < 300:
            self.source.give(body)
        self._changed.set()

    async def end(self, count: int) -> None:
        """Wait for this many responses, and close the connections. Raises OSError if one could not be opened."""
        await asyncio.gather(*self._openings)
        while self.statuses.total() < count:
            self._changed.clear()
            await self._changed.wait()
        for connection in self._idle:
            connection.transport.close()


class _Connection(asyncio.Protocol):
    """A connection that sends one request after the other."""

    transport: asyncio.Transport

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._received = b""
        self._due: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, request: Request, due: float) -> None:
        """Send a request, which was due at this time."""
        self._due = due
        self.transport.write(request.raw.encode())

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        head = head.lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if end and len(body) >= length:
            due, self._due, self._received = self._due, None, b""
            assert due is not None
            self._load.finish(int(head.split(b" ", 2)[1]), body, due)
            if b"connection: close" in head:
                self.transport.close()
            else:
                self._load.go_on(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._due is not None:
            # Status 0 is a request without a response.
            self._load.finish(0, b"", self._due)
        self._load.close(self)
