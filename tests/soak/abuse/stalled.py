"""Clients that stall in every possible way, and the response times of other clients beside them."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple

from tests.soak.abuse.connection import Connection
from tests.soak.abuse.server import Server

_GIVE_UP = 60
_ALONE_SECONDS = 1
_BETWEEN_CLIENTS = 0.004
_DRIP = 1
_BETWEEN_PINGS = 0.01
_BETWEEN_LOOKS = 0.25
_HEAD = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
_FORM = (
    b"GET /ping HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\n"
)
_PING = b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"
_BEGINNINGS = {
    "silent": b"",
    "in a line": b"GET /pi",
    "in headers": b"GET /ping HTTP/1.1\r\nHost: a\r\nX: ",
    "in a form": _FORM + b"Content-Length: 100\r\n\r\na",
    "in a body": _HEAD + b"Content-Length: 9000\r\n\r\n{",
    "in a chunk": _HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{",
    "in trailers": _HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ",
    "after a response": _PING,
    # The response is larger than the buffers of the kernel.
    "with responses unread": b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n" * 4,
}
_DRIPPING = {"in headers", "in a form", "in a body", "in a chunk", "in trailers"}


class _Client(NamedTuple):
    kind: str
    connection: Connection
    since: float


@dataclass
class Stalled:
    """The results in seconds: each `/ping` before and beside the clients, and the longest life of each kind."""

    pings_alone: list[float] = field(default_factory=list)
    pings: list[float] = field(default_factory=list)
    lives: dict[str, float] = field(default_factory=dict)


async def stall(server: Server, count: int) -> Stalled:
    """Open `count` stalled clients, equally many of each kind, and wait until the server cuts them or time is up."""
    measured = Stalled()
    with suppress(TimeoutError):
        async with asyncio.timeout(_ALONE_SECONDS):
            await _ping(server.port, measured.pings_alone)
    pinging = asyncio.create_task(_ping(server.port, measured.pings))
    kinds = list(_BEGINNINGS)
    clients = [await _stalled(server.port, kinds[number % len(kinds)]) for number in range(count)]
    dripping = asyncio.create_task(_drip([client for client in clients if client.kind in _DRIPPING]))
    await _watch(server, clients, measured.lives)
    for task in (pinging, dripping):
        task.cancel()
    await asyncio.gather(pinging, dripping, return_exceptions=True)
    for client in clients:
        await client.connection.close()
    return measured


async def _stalled(port: int, kind: str) -> _Client:
    connection = await Connection.open(port, reads=kind != "with responses unread")
    await connection.send(_BEGINNINGS[kind])
    await asyncio.sleep(_BETWEEN_CLIENTS)
    return _Client(kind, connection, perf_counter())


async def _drip(clients: list[_Client]) -> None:
    """Send one byte at a time from every second client."""
    while True:
        await asyncio.sleep(_DRIP)
        for client in clients[::2]:
            await client.connection.send(b" ")


async def _watch(server: Server, clients: list[_Client], lives: dict[str, float]) -> None:
    """Record how long each client lives."""
    until = perf_counter() + _GIVE_UP
    while clients and perf_counter() < until:
        await asyncio.sleep(_BETWEEN_LOOKS)
        held = server.clients()
        for client in clients:
            lives[client.kind] = max(lives.get(client.kind, 0), perf_counter() - client.since)
        clients = [client for client in clients if client.connection.port in held]


async def _ping(port: int, seconds: list[float]) -> None:
    """Send `/ping` all the time, in turn on a new connection and on the last one."""
    while True:
        started = perf_counter()
        connection = await Connection.open(port)
        try:
            for _ in range(2):
                seconds.append(await _one_ping(connection, started))
                await asyncio.sleep(_BETWEEN_PINGS)
                started = perf_counter()
        finally:
            await connection.close()


async def _one_ping(connection: Connection, started: float) -> float:
    await connection.send(_PING)
    response = await connection.read_response()
    assert response is not None
    assert response.status == 200
    return perf_counter() - started
