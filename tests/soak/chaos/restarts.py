"""Restart two services in turn, and stop a service that has stuck clients."""

import socket
from contextlib import ExitStack
from time import monotonic, sleep

from tests.soak.chaos.environment import Place
from tests.soak.chaos.report import Row, of_verdict
from tests.support.charter import Server, free_port, is_ready, until

STUCK = (
    b"",
    b"GET /ping HTTP/1.1\r\nHost:",
    b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
    # This client never reads.
    b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 50,
)


def restarts(place: Place, times: int) -> list[Row]:
    """Restart each service with SIGTERM, its exit and a start. Clients that one service refuses try the other."""
    place.charter.settings["CHARTER_DRAIN_SECONDS"] = "1"
    ports = [free_port(), free_port()]
    ends = []
    with ExitStack() as stack:
        servers = [_start(place, stack, port) for port in ports]
        load = place.load(*(server.url for server in servers), tries=20)
        with load.writing():
            for turn in range(times):
                sleep(0.5)
                began = monotonic()
                servers[turn % 2].stop()
                ends.append(monotonic() - began)
                servers[turn % 2] = _start(place, stack, ports[turn % 2])
    failed = [response for response in load.responses if not response.success]
    return [
        Row(f"failed, of {len(load.responses):,} requests, {times} restarts", 0, len(failed)),
        Row("slowest end", 10, max(ends), "s"),
        *of_verdict(place.judged()),
    ]


def _start(place: Place, stack: ExitStack, port: int) -> Server:
    place.charter.settings["CHARTER_PORT"] = str(port)
    server = stack.enter_context(place.charter.serving())
    until(lambda: is_ready(server.url))
    return server


def stuck(place: Place) -> list[Row]:
    """Stop a service that has 50 clients whose requests never end."""
    with place.served("--workers", "2") as server, ExitStack() as clients:
        for number in range(50):
            address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
            client = clients.enter_context(socket.create_connection(address))
            client.sendall(STUCK[number % len(STUCK)])
        began = monotonic()
        status = server.stop()
        ended = monotonic() - began
    return [Row("end with 50 stuck clients", 10, ended, "s"), Row("exit status", 0, status)]
