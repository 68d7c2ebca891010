"""Many users and anonymous clients on the same connections: each request gets the response for its own sender."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from tests.soak.abuse.clients import Person
from tests.soak.abuse.connection import Connection, Response

_CONNECTIONS = 48
_PROFILE = "/api/v1/me"


class Call(NamedTuple):
    """A request and its expected response: an error code, or the profile of the sender."""

    data: bytes
    expected: str


async def crowd(port: int, people: list[Person], each: int, rng: Random) -> tuple[int, Counter[str]]:
    """Send `each` requests of each user and half as many anonymous ones. Return their number and the faults."""
    calls = [_own(person) for person in people for _ in range(each)]
    calls += [_strange(rng, people) for _ in range(len(calls) // 2)]
    rng.shuffle(calls)
    stream, faults = iter(calls), Counter[str]()
    async with asyncio.TaskGroup() as group:
        for number in range(_CONNECTIONS):
            group.create_task(_speak(port, stream, 1 + number % 4, faults))
    return len(calls), faults


async def _speak(port: int, stream: Iterator[Call], at_once: int, faults: Counter[str]) -> None:
    """Send the requests on one connection, `at_once` at a time, in any order of their users."""
    connection = await Connection.open(port)
    while calls := [call for _, call in zip(range(at_once), stream, strict=False)]:
        await connection.send(b"".join(call.data for call in calls))
        for call in calls:
            async with asyncio.timeout(30):
                response = await connection.read_response()
            if (seen := _seen(response)) != call.expected:
                faults[f"{_kind(call.expected)} got {_kind(seen)}"] += 1
            if response is None:
                await connection.close()
                connection = await Connection.open(port)
                break
    await connection.close()


def _own(person: Person) -> Call:
    return Call(_get(_PROFILE, person.token), f"{person.id} {person.username}")


def _strange(rng: Random, people: list[Person]) -> Call:
    token = rng.choice(people).token
    return rng.choice(
        [
            Call(_get(_PROFILE), "MISSING_TOKEN"),
            Call(_get(f"/{_PROFILE}"), "NOT_FOUND"),
            Call(_get(f"/{_PROFILE}", token), "NOT_FOUND"),
            Call(_get(_PROFILE, f"{token}="), "INVALID_TOKEN"),
            Call(_get(_PROFILE, token.swapcase()), "INVALID_TOKEN"),
        ]
    )


def _get(path: str, token: str = "") -> bytes:
    authorized = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n{authorized}\r\n".encode()


def _seen(response: Response | None) -> str:
    if response is None:
        return "NOTHING"
    body = json.loads(response.body)
    return str(body["code"]) if "code" in body else f"{body['id']} {body['username']}"


def _kind(text: str) -> str:
    return "the profile of a user" if " " in text else text
