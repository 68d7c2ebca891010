"""A mail server that is down or slow delays no request."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median, quantiles
from threading import Event, Thread
from time import perf_counter

import httpx
import pytest

from tests.support.charter import Charter
from tests.support.person import Person, newcomer

pytestmark = pytest.mark.usefixtures("forked")

Bad = Callable[[], AbstractContextManager[int]]

REQUESTS, BACKLOG = 500, 20


@contextmanager
def dribbling() -> Iterator[int]:
    """Yield the port of a server that sends a byte of its greeting every 5 seconds."""
    over = Event()

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            for byte in b"220 slow.example.com":
                connection.sendall(bytes([byte]))
                if over.wait(5):
                    return

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while not over.is_set():
                Thread(target=talk, args=[listener.accept()[0]]).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=accept, args=[listener])
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def down() -> Iterator[int]:
    """Yield a port on which no server listens."""
    yield 1


@contextmanager
def logged_in(folder: Path, port: int, mails: int) -> Iterator[Person]:
    """Run a service with a mail server on this port, and yield a user of it. The outbox has `mails` mails."""
    folder.mkdir()
    mail = {"CHARTER_SMTP_URL": f"smtp://127.0.0.1:{port}", "CHARTER_MAIL_FROM": "no-reply@example.com"}
    charter = Charter(folder, mail)
    assert charter.run("migrate").returncode == 0
    with charter.serving() as server, httpx.Client(base_url=server.url) as client:
        alice = newcomer(client, "alice")
        for _ in range(mails):
            response = client.post("/api/v1/auth/password/request", json={"email": alice.email})
            assert response.status_code == 202
        yield alice


def seconds(alice: Person) -> float:
    began = perf_counter()
    assert alice.get("/api/v1/sessions").status_code == 200
    return perf_counter() - began


@pytest.mark.parametrize("bad", [down, dribbling])
def test_a_bad_mail_server_delays_no_request(tmp_path: Path, bad: Bad) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(bad())
        busy = stack.enter_context(logged_in(tmp_path / "busy", port, BACKLOG))
        idle = stack.enter_context(logged_in(tmp_path / "idle", port, 0))
        # Other load on the machine may slow some requests of one service down. Then measure again.
        for _ in range(5):
            pairs = [(seconds(busy), seconds(idle)) for _ in range(REQUESTS)]
            of_busy, of_idle = zip(*pairs, strict=True)
            medians = median(of_busy) / median(of_idle)
            p99 = quantiles(of_busy, n=100)[-1] / quantiles(of_idle, n=100)[-1]
            if medians <= 1.1 and p99 <= 2:
                break
        assert (medians <= 1.1, p99 <= 2) == (True, True), (medians, p99)
