"""Clients that write so many times a second, each write in the journal before it is sent."""

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

# A few hash a password: as many as two cores have time for, beside all the others.
_MIX = (Kind.SIGN_UP, *(Kind.REFRESH, Kind.REFRESH, Kind.LOG_OUT) * 22)
_SUCCESS = {Kind.REFRESH: 200, Kind.LOG_OUT: 204, Kind.SIGN_UP: 201}
# What tells a client that it was done the time before, when the answer did not come.
_DONE_BEFORE = {Kind.LOG_OUT: 401, Kind.SIGN_UP: 409}
_PATIENCE = 30


@dataclass(frozen=True)
class Answer:
    """When a write was sent and for how long it waited, in seconds; no status when nothing came back."""

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
    """A write, as it is sent."""

    kind: Kind
    subject: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, str] | None = None


@dataclass
class Load:
    """Clients of one service, or of some that stand in for each other: who is refused by one asks the next."""

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
        """They write meanwhile, and each waits for its last answer."""
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
                # Who is late has not to wait; none waits for another.
                sleep(max(0.0, began + (turn * self.clients + number) / self.rate - monotonic()))
                if self._done.is_set():
                    return
                self.answers.append(_write(asker, next(mix), ours, f"user-{number}-{turn}"))


@dataclass(frozen=True)
class _Asker:
    """Sends a write to one service after the other until it is answered, at most so often."""

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
    # The last one stays, to go on with.
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
        # What came of it is to be heard within the grace of a refresh token.
        ours.appendleft(live)
    return answer
