"""One-time codes that clients use at the same moment, over two processes: each works once."""

from contextlib import ExitStack
from functools import partial

import httpx
import pytest

from api import contract
from api.config import Config
from api.config.paths import resource_dir
from api.storage.database import Database
from tests.support.charter import beside
from tests.support.codes import PURPOSES, code_for
from tests.support.concurrency import at_once
from tests.support.person import newcomer

AT_ONCE, ROUNDS, SHORT = 20, 50, 2
PATHS = {operation.id: operation.path for operation in contract.load(resource_dir("openapi")).operations()}
NEW = "a better battery for this horse"
# A response may wait for several hashes on a busy machine.
TIMEOUT = 60


def use(operation: str, client: httpx.Client, code: str, number: int) -> int:
    """Use a code on a new connection, and return the status."""
    body = {"code": code} | ({"new_password": f"{NEW} {number}"} if operation == "resetPassword" else {})
    return client.post(PATHS[operation], json=body, headers={"Connection": "close"}).status_code


@pytest.mark.usefixtures("forked")
def test_one_of_20_simultaneous_uses_over_two_processes_succeeds(
    config: Config, database: Database, long: bool
) -> None:
    # No mail server listens there. As many passwords are hashed at a time as arrive at a process.
    charter = beside(config, smtp_port=1)
    charter.settings |= {"CHARTER_HASHES": str(AT_ONCE // 2)}
    with ExitStack() as stack:
        servers = [stack.enter_context(charter.serving()) for _ in range(2)]
        clients = [stack.enter_context(httpx.Client(base_url=server.url, timeout=TIMEOUT)) for server in servers]
        alice = newcomer(clients[0], "alice")
        for operation in sorted(PURPOSES) * (ROUNDS if long else SHORT):
            code = code_for(operation, config, database, "alice")
            calls = [partial(use, operation, clients[number % 2], code, number) for number in range(AT_ONCE)]
            statuses = at_once(*calls)
            assert sorted(statuses) == [204] + [403] * (AT_ONCE - 1), operation
            if operation == "resetPassword":
                assert alice.log_in(password=f"{NEW} {statuses.index(204)}").status_code == 200
