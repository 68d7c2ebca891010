"""Clients with a fixed rate of writes, each one in the journal before it is sent."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count, cycle
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

import httpx

from tests.soak.chaos.clients import Live
from tests.soak.chaos.journal import Journal, Kind
from tests.support.person import PASSWORD

# A few requests hash a password: as many as two cores can do beside all other work.
_MIX = (Kind.SIGN_UP, *(Kind.REFRESH, Kind.REFRESH, Kind.LOG_OUT) * 22)
_SUCCESS = {Kind.REFRESH: 200, Kind.LOG_OUT: 204, Kind.SIGN_UP: 201}
# The status of a repeated write whose first response was lost.
_DONE_BEFORE = {Kind.LOG_OUT: 401, Kind.SIGN_UP: 409}
_PATIENCE = 30


@dataclass(frozen=True)
class Response:
    """The time of a write, its duration in seconds, and its status. The status is missing if no response came back."""

    kind: Kind
    sent: float
    seconds: float
    status: int | None
    retry_after: str | None
    body: dict[str, Any] = field(repr=False)

    @property
    def success(self) -> bool:
        return self.status == _SUCCESS[self.kind]


@dataclass(frozen=True)
class Request:
    """A write as sent."""

    kind: Kind
    subject: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, str] | None = None


@dataclass
class Load:
    """Clients of one or several services. If one service refuses a connection, the client tries the next."""

    urls: Sequence[str]
    journal: Journal
    sessions: list[Live]
    rate: int
    clients: int = 8
    tries: int = 1
    responses: list[Response] = field(default_factory=list)
    _done: Event = field(default_factory=Event)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write until the block ends, and wait for the last responses."""
        began = monotonic()
        threads = [Thread(target=self._client, args=(number, began)) for number in range(self.clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._done.set()
            for thread in threads:
                thread.join()

    def _client(self, number: int, began: float) -> None:
        ours = deque(self.sessions[number :: self.clients])
        mix = cycle(_MIX[number:] + _MIX[:number])
        with httpx.Client(timeout=_PATIENCE) as client:
            writer = _Writer(client, cycle(self.urls), self.journal, self.tries)
            for turn in count():
                # A late client does not sleep, and no client waits for another one.
                sleep(max(0.0, began + (turn * self.clients + number) / self.rate - monotonic()))
                if self._done.is_set():
                    return
                self.responses.append(_write(writer, next(mix), ours, f"user-{number}-{turn}"))


@dataclass(frozen=True)
class _Writer:
    """A client that sends a write to one service after the other until it gets a response, with a limit."""

    client: httpx.Client
    urls: Iterator[str]
    journal: Journal
    tries: int

    def send(self, request: Request) -> Response:
        number = self.journal.intend(request.kind, request.subject)
        began = monotonic()
        response = self._try_all(request, began)
        if response.status is not None and response.status < 500:
            self.journal.settle(number, response.success)
        return response

    def _try_all(self, request: Request, began: float) -> Response:
        is_lost = False
        for left in reversed(range(self.tries)):
            response = self._try(request, began)
            if is_lost and response.status == _DONE_BEFORE.get(request.kind):
                return replace(response, status=_SUCCESS[request.kind])
            if response.status not in {None, 503} or not left:
                break
            is_lost = is_lost or response.status is None
            sleep(0.05)
        return response

    def _try(self, request: Request, began: float) -> Response:
        try:
            raw = self.client.post(f"{next(self.urls)}{request.path}", headers=request.headers, json=request.body)
        except httpx.TransportError:
            return Response(request.kind, began, monotonic() - began, None, None, {})
        body = raw.json() if raw.content else {}
        return Response(request.kind, began, monotonic() - began, raw.status_code, raw.headers.get("retry-after"), body)


def _write(writer: _Writer, kind: Kind, ours: deque[Live], name: str) -> Response:
    if kind is Kind.SIGN_UP:
        form = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        return writer.send(Request(kind, name, "/api/v1/auth/signup", body=form))
    live = ours.popleft()
    # Keep the last session, so that the load can continue.
    if kind is Kind.LOG_OUT and ours:
        headers = {"Authorization": f"Bearer {live.access_token}"}
        response = writer.send(Request(kind, live.id, "/api/v1/auth/logout", headers))
        live.ended = True if response.success else None
        return response
    live.pending = True
    response = writer.send(
        Request(Kind.REFRESH, live.id, "/api/v1/auth/refresh", body={"refresh_token": live.refresh_token})
    )
    if response.success:
        live.continue_with(response.body)
        ours.append(live)
    else:
        # The result must arrive within the grace period of a refresh token.
        ours.appendleft(live)
    return response
