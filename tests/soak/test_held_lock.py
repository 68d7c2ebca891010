"""The time that requests take beside a held write lock of SQLite, and that many writers take on both databases."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import perf_counter, sleep

import httpx
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from api.crypto.refresh_tokens import RefreshTokenFactory
from api.storage.database import Database
from tests.storage.test_database import UNAVAILABLE, locked, write_after_reading
from tests.support.databases import on_sqlite
from tests.support.person import Person, newcomer


def test_8_writers_that_read_first_finish_within_30_seconds(database: Database) -> None:
    began = perf_counter()
    write_after_reading(database)
    assert perf_counter() - began < 30


@on_sqlite
def test_readers_take_less_than_2_seconds_beside_a_writer(client: TestClient, alice: Person, config: Config) -> None:
    with locked(config):
        began = perf_counter()
        paths = ("/protected", "/api/v1/me", "/api/v1/sessions", "/.well-known/jwks.json", "/ready")
        assert [alice.get(path).status_code for path in paths] == [200] * 5
        assert perf_counter() - began < 2


@on_sqlite
def test_readers_take_less_than_2_seconds_beside_50_waiting_writers(server: str, config: Config) -> None:
    with httpx.Client(base_url=server, timeout=20) as client, ThreadPoolExecutor(50) as crowd:
        alice = newcomer(client, "alice")
        sessions = [alice.token] + [alice.log_in().json()["access_token"] for _ in range(50)]
        leaving = [replace(alice, token=token) for token in sessions[:-1]]
        with locked(config):
            going = [crowd.submit(person.log_out) for person in leaving]
            sleep(0.5)
            began = perf_counter()
            assert [alice.get(path).status_code for path in ("/api/v1/sessions", "/ready")] == [200, 200]
            assert perf_counter() - began < 2
            assert not any(one.done() for one in going)
        assert {one.result().status_code for one in going} == {204}


@on_sqlite
def test_an_invalid_refresh_token_takes_less_than_2_seconds(client: TestClient, config: Config) -> None:
    guesses = [RefreshTokenFactory(secret).new() for secret in (config.secret, bytes(32))] + ["A"]
    with locked(config):
        began = perf_counter()
        responses = [client.post("/api/v1/auth/refresh", json={"refresh_token": guess}) for guess in guesses]
        assert [response.json()["code"] for response in responses] == ["INVALID_REFRESH_TOKEN"] * 3
        assert perf_counter() - began < 2


@on_sqlite
def test_writes_beside_a_held_lock_are_503_within_4_seconds(config: Config) -> None:
    impatient = config.database_url.update_query_dict({"timeout": "0.1"})
    with TestClient(create_app(replace(config, database_url=impatient))) as client:
        alice, bobby = newcomer(client, "alice"), Person(client, "bobby")
        with locked(config):
            began = perf_counter()
            responses = [bobby.sign_up(), alice.log_out()]
            assert perf_counter() - began < 4
            assert alice.get("/protected").status_code == 200
        assert [(response.status_code, response.headers["retry-after"]) for response in responses] == [(503, "5")] * 2
        assert [response.json() for response in responses] == [UNAVAILABLE] * 2
        assert [bobby.sign_up().status_code, alice.log_out().status_code] == [201, 204]
