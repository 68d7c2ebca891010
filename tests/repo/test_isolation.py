"""Concurrent requests: each gets its own response, and a slow query does not delay the liveness probe."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore
from typing import Any

import httpx
import pytest
from connexion import ConnexionMiddleware
from sqlalchemy import Engine, event
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import Person, newcomer


@pytest.mark.slow
def test_concurrent_users_get_their_own_profiles(server: str) -> None:
    with httpx.Client(base_url=server) as client:
        people = [newcomer(client, f"user{number:02}") for number in range(12)]

    def other_usernames_seen(person: Person) -> set[str]:
        with httpx.Client(base_url=server) as client:
            person.client = client
            return {person.get("/api/v1/me").json()["username"] for _ in range(50)} - {person.username}

    with ThreadPoolExecutor(len(people)) as pool:
        assert list(pool.map(other_usernames_seen, people)) == [set()] * len(people)


def test_requests_are_isolated_when_extensions_are_shared(app: ConnexionMiddleware, client: TestClient) -> None:
    people = [newcomer(client, f"user{number:02}") for number in range(12)]
    extensions: dict[str, Any] = {}

    async def share_extensions(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "extensions": extensions}, receive, send)

    async def ask() -> list[str]:
        transport = httpx.ASGITransport(app=share_extensions)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as caller:
            calls = [caller.get("/api/v1/me", headers=person.headers) for person in people * 10]
            return [response.json()["username"] for response in await asyncio.gather(*calls)]

    assert asyncio.run(ask()) == [person.username for person in people * 10]
    assert extensions == {}


def test_a_slow_database_does_not_delay_the_liveness_probe(server: str, client: TestClient, alice: Person) -> None:
    waiting, arrived, released = [], Semaphore(0), Event()

    def hold(*_: object) -> None:
        arrived.release()
        assert released.wait(timeout=PATIENCE_SECONDS)

    alice.client = httpx.Client(base_url=server)
    event.listen(Engine, "before_cursor_execute", hold)
    try:
        with ThreadPoolExecutor(5) as pool:
            waiting = [pool.submit(alice.get, "/protected") for _ in range(5)]
            for _ in waiting:
                assert arrived.acquire(timeout=PATIENCE_SECONDS)
            pings = [httpx.get(f"{server}/ping").status_code for _ in range(5)]
            assert [task.done() for task in waiting] == [False] * 5
            released.set()
        assert pings == [200] * 5
        assert [task.result().status_code for task in waiting] == [200] * 5
    finally:
        released.set()
        event.remove(Engine, "before_cursor_execute", hold)
        alice.client.close()
