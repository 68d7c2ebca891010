"""The three trials, each with its measurements as rows of the report."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from statistics import median, quantiles

from tests.soak.abuse import traces
from tests.soak.abuse.attacks import Attacks
from tests.soak.abuse.clients import Person, newcomers
from tests.soak.abuse.connection import Connection
from tests.soak.abuse.crowd import crowd
from tests.soak.abuse.flood import Outcome, flood
from tests.soak.abuse.marks import Marks
from tests.soak.abuse.report import Row, at_most, none_of
from tests.soak.abuse.server import Held, Server
from tests.soak.abuse.stalled import stall
from tests.soak.abuse.tokens import Forger

_GROWTH_MB = 50
_CUT_SECONDS = 15
_LINGER_SECONDS = 3
_PATIENCE_SECONDS = 20
_AT_ONCE = 45
# The threads of the cache misses: the first requests need only a few of them.
_LOOKING_UP = 8


@dataclass
class Trial:
    """One seed against one server. `details` lists the findings."""

    server: Server
    seed: str
    details: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = Random(self.seed)
        self._marks = Marks(f"{self._rng.getrandbits(32):08x}")
        self._tokens: list[str] = []

    def hostile(self, count: int, warm_up: int) -> list[Row]:
        """Send hostile requests, and check the responses, the leaks and the server's resources afterwards."""
        port, (person, spare) = self.server.port, self._people(2)
        forger = Forger(person.token, spare.token, spare.refresh_token, self.server.signing_key)
        asyncio.run(flood(port, Attacks(f"{self.seed}/warm-up", forger, self._marks), warm_up))
        asyncio.run(_ask_at_once(port, person.username))
        before = asyncio.run(_rest(self.server))
        outcome = asyncio.run(flood(port, Attacks(self.seed, forger, self._marks), count))
        _, faults = asyncio.run(crowd(port, [person], 1, self._rng))
        assert not faults, "the token that the forgeries derive from must still be valid"
        after = asyncio.run(_return(self.server, before))
        return [*self._of_outcome(outcome), *self._of_traces(), *_of_held(before, after)]

    def crowded(self, users: int, each: int) -> list[Row]:
        """Send requests of many users on the same connections."""
        sent, faults = asyncio.run(crowd(self.server.port, self._people(users), each, self._rng))
        self.details += [f"{count:8,}  {fault}" for fault, count in faults.items()]
        return [none_of(f"wrong responses of {sent:,} for {users} users on shared connections", faults.total())]

    def stalled(self, count: int, ping_ms: float) -> list[Row]:
        """Open many clients that stall."""
        measured = asyncio.run(stall(self.server, count))
        self.details += [f"{seconds:8.1f}  s: clients stalled {kind}" for kind, seconds in measured.lives.items()]
        slowest = max(measured.pings) * 1000
        return [
            Row("pings before there are stalled clients", _milliseconds(measured.pings_alone), "", holds=True),
            Row(f"pings beside {count} stalled clients", _milliseconds(measured.pings), "", holds=True),
            at_most(f"  the slowest of {len(measured.pings):,}", slowest, ping_ms, "ms"),
            at_most("  longest life of a stalled client", max(measured.lives.values()), _CUT_SECONDS, "s"),
        ]

    def _people(self, count: int) -> list[Person]:
        people = newcomers(self.server.port, count, self._rng, self._marks)
        self._tokens += [token for person in people for token in (person.token, person.refresh_token)]
        return people

    def _of_outcome(self, outcome: Outcome) -> list[Row]:
        rate = outcome.requests / outcome.seconds
        for (kind, status), count in sorted(outcome.statuses.items()):
            self.details.append(f"{count:8,}  {kind} {status or 'no response'}")
        self._add_details(outcome.faults, outcome.examples)
        return [
            Row("hostile requests", f"{outcome.requests:,}", f"{rate:,.0f} a second", holds=True),
            none_of("  responses that break HTTP or the contract", outcome.faults.total()),
            Row("  slowest exchange", f"{outcome.slowest:.2f} s", "", holds=True),
        ]

    def _of_traces(self) -> list[Row]:
        faults, examples = traces.faults(self.server, self._marks, self._tokens)
        self._add_details(faults, examples)
        return [none_of("  leaks in the log or the database", faults.total())]

    def _add_details(self, faults: Counter[str], examples: dict[str, str]) -> None:
        for fault, count in faults.most_common(20):
            self.details.append(f"{count:8,}  FAULT {fault}: {examples.get(fault, '')}")


def _milliseconds(seconds: list[float]) -> str:
    p99 = quantiles(seconds, n=100, method="inclusive")[98]
    return f"{median(seconds) * 1000:.1f} ms; p99 {p99 * 1000:.1f}; max {max(seconds) * 1000:.1f}"


def _of_held(before: Held, after: Held) -> list[Row]:
    return [
        at_most("  growth of memory", (after.memory - before.memory) / 2**20, _GROWTH_MB, "MB"),
        at_most("  descriptors", after.descriptors, before.descriptors, ""),
        at_most("  threads", after.threads, before.threads + _LOOKING_UP, ""),
    ]


async def _ask_at_once(port: int, username: str) -> None:
    """Send so many requests at once that the server needs each connection and each thread, except for cache misses."""
    log_in = json.dumps({"username": username, "password": "a wrong password"})
    refresh = json.dumps({"refresh_token": "A" * 64})
    for line, body, statuses in (
        ("POST /api/v1/auth/login", log_in, {401, 503}),
        ("POST /api/v1/auth/refresh", refresh, {401}),
        ("GET /ready", "", {200}),
    ):
        connections = [await Connection.open(port) for _ in range(_AT_ONCE)]
        for connection in connections:
            head = f"{line} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            await connection.send(f"{head}\r\n\r\n{body}".encode())
        for connection in connections:
            response = await connection.read_response()
            assert response is not None
            assert response.status in statuses
            await connection.close()


async def _rest(server: Server) -> Held:
    """Return the server's resources after it has closed the last connection."""
    await asyncio.sleep(_LINGER_SECONDS)
    return server.held()


async def _return(server: Server, before: Held) -> Held:
    """Return the server's resources as soon as they are back at the values of before, or after a while."""
    held = server.held()
    for _ in range(_PATIENCE_SECONDS * 4):
        if held.descriptors <= before.descriptors:
            break
        await asyncio.sleep(0.25)
        held = server.held()
    return held
