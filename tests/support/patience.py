"""Time limits that even a busy machine meets.

A test waits for a condition, for at most this time. A test that does not test a deadline of the product extends that
deadline to this time.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from httpx import _config

PATIENCE_SECONDS = 300.0
"""The time limit for an event that takes milliseconds on an idle machine."""


@contextmanager
def patience() -> Iterator[None]:
    """Extend the time limits of the clients and the server of this process until the block ends."""
    with pytest.MonkeyPatch.context() as patch:
        for phase in httpx.Timeout(0).as_dict():
            patch.setattr(_config.DEFAULT_TIMEOUT_CONFIG, phase, PATIENCE_SECONDS)
        patch.setattr("api.runtime.bulkhead._MAX_WAIT_SECONDS", PATIENCE_SECONDS)
        patch.setattr("api.app._LIMITER_WAIT_SECONDS", PATIENCE_SECONDS)
        patch.setattr("api.logs._FLUSH_SECONDS", PATIENCE_SECONDS)
        patch.setattr("api.server.protocol.HEADER_SECONDS", PATIENCE_SECONDS)
        patch.setattr("api.server.protocol.MAX_CONNECTION_AGE", PATIENCE_SECONDS)
        patch.setattr("api.server.transport._SEND_SECONDS", PATIENCE_SECONDS)
        # A poll by chance, between a write of a test and its check, would keep the cache fresh for 50 ms.
        patch.setattr("api.storage.change_monitor._IDLE_SECONDS", PATIENCE_SECONDS)
        yield
