"""Bounds that no machine misses, however busy it is.

A test waits for a condition, and for as long as this. Where the product itself has a deadline, a test that does not
test the deadline makes it as long, too.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from httpx import _config

PATIENCE_SECONDS = 300.0
"""How long a test waits for something that takes milliseconds on a quiet machine."""


@contextmanager
def patience() -> Iterator[None]:
    """Give the clients and the server of this process enough time on a busy machine, until the block ends."""
    with pytest.MonkeyPatch.context() as patch:
        for phase in httpx.Timeout(0).as_dict():
            patch.setattr(_config.DEFAULT_TIMEOUT_CONFIG, phase, PATIENCE_SECONDS)
        patch.setattr("api.runtime.bulkhead._MAX_WAIT_SECONDS", PATIENCE_SECONDS)
        patch.setattr("api.server.protocol.HEADER_SECONDS", PATIENCE_SECONDS)
        patch.setattr("api.server.protocol.MAX_CONNECTION_AGE", PATIENCE_SECONDS)
        patch.setattr("api.server.transport._SEND_SECONDS", PATIENCE_SECONDS)
        yield
