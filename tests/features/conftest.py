"""Fixtures of the tests of features."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from tests.support.person import Person


@pytest.fixture
def renewing_client(alice: Person, config: Config) -> Iterator[TestClient]:
    """The service after an increase of the hash cost, which makes alice's hash stale."""
    with TestClient(create_app(replace(config, bcrypt_cost=5)), client=("127.0.0.1", 50_000)) as later:
        yield later


@pytest.fixture
def limited(config: Config) -> Iterator[Callable[..., TestClient]]:
    """Start applications with rate limits on the same database."""
    with ExitStack() as stack:

        def start(*limits: str, peer: str = "testclient", **settings: Any) -> TestClient:
            app = create_app(replace(config, rate_limits=limits, **settings))
            return stack.enter_context(TestClient(app, client=(peer, 50_000)))

        yield start
