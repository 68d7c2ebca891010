"""Clients that log in repeatedly. A rejected client waits as long as `Retry-After` says."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from threading import Event
from time import perf_counter, sleep

from benchmarks.speed.charter import CREDENTIALS

_BODY = json.dumps(CREDENTIALS).encode()
_PATIENCE = 60
_SETTLING_SECONDS = 1


@dataclass
class Crowd:
    """Clients of one port, with the time of each log-in and the milliseconds of each rejection."""

    port: int
    clients: int
    served: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    _gone: Event = field(default_factory=Event)

    def log_in(self, times: int) -> float:
        """Log in `times` times in all and return the seconds that this took."""
        turns = iter(range(times))
        began = perf_counter()
        with self._clients(lambda: next(turns, None) is not None):
            pass
        return perf_counter() - began

    @contextmanager
    def logging_in(self) -> Iterator[None]:
        """Log in until the block ends, and then wait for the last responses."""
        with self._clients(lambda: not self._gone.is_set()):
            try:
                # The first clients find an empty queue, so they do not count.
                sleep(_SETTLING_SECONDS)
                yield
            finally:
                self._gone.set()

    @contextmanager
    def _clients(self, again: Callable[[], bool]) -> Iterator[None]:
        with ThreadPoolExecutor(max(self.clients, 1)) as pool:
            ended = [pool.submit(self._client, again) for _ in range(self.clients)]
            yield
        for client in ended:
            client.result()

    def _client(self, again: Callable[[], bool]) -> None:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        while again():
            began = perf_counter()
            connection.request("POST", "/api/v1/auth/login", _BODY, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status == 503:
                self.refused.append((perf_counter() - began) * 1000)
                # The server would close the connection during the wait.
                connection.close()
                self._gone.wait(int(answer.headers["Retry-After"]))
            else:
                assert answer.status == 200, answer.status
                self.served.append(perf_counter())
        connection.close()
