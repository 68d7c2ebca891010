"""Send attacks on many connections at once, and judge the responses."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter

from tests.soak.abuse.attacks import Attack, Attacks
from tests.soak.abuse.connection import Connection, NotHttp, Response
from tests.soak.abuse.framing import Request
from tests.soak.abuse.verdict import Exchange, complaints

_CONNECTIONS = 32
_SECONDS = 15
_PAUSE = 0.02
_PATIENCE = 0.3


@dataclass
class Outcome:
    """The counts of responses by kind and status, the faults with an example each, and the slowest response."""

    requests: int = 0
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    slowest: float = 0
    seconds: float = 0

    def add(self, attack: Attack, requests: int, exchange: Exchange, found: list[str]) -> None:
        self.requests += max(requests, 1)
        self.statuses.update((attack.kind, response.status) for response in exchange.responses)
        if not exchange.responses:
            self.statuses[attack.kind, 0] += 1
        for fault in found:
            self.faults[fault] += 1
            statuses = [response.status for response in exchange.responses]
            self.examples.setdefault(fault, f"{attack.kind} {statuses} {exchange.ending} {attack.pieces!r:.400}")


async def flood(port: int, attacks: Attacks, count: int) -> Outcome:
    """Send the first `count` attacks."""
    outcome, stream, started = Outcome(), attacks.stream(count), perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(_CONNECTIONS):
            group.create_task(_AttackingClient(port, attacks, outcome).send_all(stream))
    outcome.seconds = perf_counter() - started
    return outcome


class _AttackingClient:
    """A client that reuses a connection for as long as the server keeps it open."""

    def __init__(self, port: int, attacks: Attacks, outcome: Outcome) -> None:
        self._port = port
        self._marks = attacks.marks
        self._outcome = outcome
        self._connection: Connection | None = None

    async def send_all(self, stream: Iterator[Attack]) -> None:
        for attack in stream:
            requests, rest = attack.read()
            exchange = await self._exchange(attack, requests, rest)
            found = complaints(attack, requests, rest, exchange, self._marks)
            self._outcome.add(attack, len(requests) + bool(rest), exchange, found)
        await self._hang_up()

    async def _exchange(self, attack: Attack, requests: list[Request], rest: bytes) -> Exchange:
        self._connection = self._connection or await Connection.open(self._port)
        responses: list[Response] = []
        started = perf_counter()
        try:
            async with asyncio.timeout(_SECONDS):
                ending = await self._talk(self._connection, attack, requests, rest, responses)
        except TimeoutError:
            ending = "hung"
        except NotHttp:
            ending = "garbled"
        self._outcome.slowest = max(self._outcome.slowest, perf_counter() - started)
        if ending != "open":
            await self._hang_up()
        return Exchange(responses, ending)

    async def _talk(
        self, connection: Connection, attack: Attack, requests: list[Request], rest: bytes, responses: list[Response]
    ) -> str:
        for piece in attack.pieces[:-1]:
            await connection.send(piece)
            await asyncio.sleep(_PAUSE)
        await connection.send(attack.pieces[-1])
        if attack.ending == "RST":
            connection.break_off()
            return "closed"
        if attack.ending == "FIN":
            connection.half_close()
        elif rest:
            # The server rejects invalid bytes by itself. It waits for more if they look unfinished, so end them.
            asyncio.get_running_loop().call_later(_PATIENCE, connection.half_close)
        for request in requests:
            response = await connection.read_response(has_body=request.method != b"HEAD")
            if response is None:
                return "closed"
            responses.append(response)
            if response.ends_connection or request.is_last:
                break
        else:
            if not rest and not attack.ending:
                return "open"
        return await self._until_the_end(connection, responses)

    async def _until_the_end(self, connection: Connection, responses: list[Response]) -> str:
        while (response := await connection.read_response()) is not None:
            responses.append(response)
        return "closed"

    async def _hang_up(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
