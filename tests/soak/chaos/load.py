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
class Answer:
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
    answers: list[Answer] = field(default_factory=list)
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
            asker = _Asker(client, cycle(self.urls), self.journal, self.tries)
            for turn in count():
                # A late client does not sleep, and no client waits for another one.
                sleep(max(0.0, began + (turn * self.clients + number) / self.rate - monotonic()))
                if self._done.is_set():
                    return
                self.answers.append(_write(asker, next(mix), ours, f"user-{number}-{turn}"))


@dataclass(frozen=True)
class _Asker:
    """A client that sends a write to one service after the other until it gets a response, with a limit."""

    client: httpx.Client
    urls: Iterator[str]
    journal: Journal
    tries: int

    def ask(self, request: Request) -> Answer:
        number = self.journal.intend(request.kind, request.subject)
        began = monotonic()
        answer = self._try_all(request, began)
        if answer.status is not None and answer.status < 500:
            self.journal.tell(number, answer.success)
        return answer

    def _try_all(self, request: Request, began: float) -> Answer:
        unheard = False
        for left in reversed(range(self.tries)):
            answer = self._try(request, began)
            if unheard and answer.status == _DONE_BEFORE.get(request.kind):
                return replace(answer, status=_SUCCESS[request.kind])
            if answer.status not in {None, 503} or not left:
                break
            unheard = unheard or answer.status is None
            sleep(0.05)
        return answer

    def _try(self, request: Request, began: float) -> Answer:
        try:
            said = self.client.post(f"{next(self.urls)}{request.path}", headers=request.headers, json=request.body)
        except httpx.TransportError:
            return Answer(request.kind, began, monotonic() - began, None, None, {})
        body = said.json() if said.content else {}
        return Answer(request.kind, began, monotonic() - began, said.status_code, said.headers.get("retry-after"), body)


def _write(asker: _Asker, kind: Kind, ours: deque[Live], name: str) -> Answer:
    if kind is Kind.SIGN_UP:
        form = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        return asker.ask(Request(kind, name, "/api/v1/auth/signup", body=form))
    live = ours.popleft()
    # Keep the last session, so that the load can continue.
    if kind is Kind.LOG_OUT and ours:
        headers = {"Authorization": f"Bearer {live.access_token}"}
        answer = asker.ask(Request(kind, live.id, "/api/v1/auth/logout", headers))
        live.ended = True if answer.success else None
        return answer
    live.asked = True
    answer = asker.ask(
        Request(Kind.REFRESH, live.id, "/api/v1/auth/refresh", body={"refresh_token": live.refresh_token})
    )
    if answer.success:
        live.go_on(answer.body)
        ours.append(live)
    else:
        # The result must arrive within the grace period of a refresh token.
        ours.appendleft(live)
    return answer
