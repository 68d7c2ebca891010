"""Two admins who demote, disable or delete each other at the same moment, over two processes: one admin stays."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import combinations_with_replacement

import httpx
import pytest
from sqlalchemy import func, select

from api import models
from api.config import Config
from api.services.roles import ADMIN
from api.storage.database import Database
from tests.features.test_deletion import request as request_deletion
from tests.support.admins import change_user
from tests.support.charter import beside
from tests.support.concurrency import at_once
from tests.support.person import Person
from tests.support.roles import change_role
from tests.support.workers import by_hand

ROUNDS, SHORT = 50, 2
LEAVE = "leave"
PAIRS = [*combinations_with_replacement(("demote", "disable", "delete"), 2), (LEAVE, LEAVE)]
# A response may wait for several hashes on a busy machine.
TIMEOUT = 60


def two_admins(config: Config, clients: list[httpx.Client], number: int) -> list[Person]:
    """Return the only admins, each a client of another process."""
    by_hand(config, "UPDATE users SET role = 'user'")
    people = [Person(client, f"admin{number}x{place}") for place, client in enumerate(clients)]
    for person in people:
        assert person.sign_up().status_code == 201
        change_role(config, person, ADMIN)
        assert person.log_in().status_code == 200
    return people


def call(verb: str, one: Person, other: Person) -> Callable[[], httpx.Response]:
    return partial(request_deletion, one) if verb == LEAVE else partial(change_user, one, other, verb)


@pytest.mark.usefixtures("forked")
def test_of_two_admins_who_remove_each_other_one_stays(config: Config, database: Database, long: bool) -> None:
    # No mail server listens there.
    charter = beside(config, smtp_port=1)
    admins = select(func.count()).where(models.users.c.role == ADMIN, models.users.c.disabled_at.is_(None))
    with ExitStack() as stack:
        servers = [stack.enter_context(charter.serving()) for _ in range(2)]
        clients = [stack.enter_context(httpx.Client(base_url=server.url, timeout=TIMEOUT)) for server in servers]
        for number, verbs in enumerate(PAIRS * (ROUNDS if long else SHORT)):
            one, other = two_admins(config, clients, number)
            responses = at_once(call(verbs[0], one, other), call(verbs[1], other, one))
            statuses = sorted(response.status_code for response in responses)
            assert statuses[0] in {202, 204}, verbs
            # The other request is too late, or its caller has lost the role or the session.
            assert statuses[1] in {401, 403, 409}, verbs
            with database.transaction() as db:
                assert db.run(admins).scalar() == 1
