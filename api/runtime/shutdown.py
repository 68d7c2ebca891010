"""Graceful shutdown: drain, finish requests in flight, exit."""

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable
from types import FrameType
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ServiceStopping

_STDERR = 2

SHUTDOWN_TIMEOUT = 7
"""The seconds that requests in flight may take after the drain period.

Stuck connections are dropped one second earlier.
"""
EXIT_TIMEOUT = SHUTDOWN_TIMEOUT + 2
"""The seconds after the drain period in which a process exits.

After the requests, it ends its threads. They may be computing a hash, or wait for a lock longer than that.
"""


class Terminal:
    """The terminal to which this process may write its log."""

    def __init__(self) -> None:
        self._was_open = os.isatty(_STDERR)

    def has_closed(self) -> bool:
        """Return True if the user has closed the terminal, which is why the kernel sends SIGHUP."""
        return self._was_open and not os.isatty(_STDERR)


class GracefulShutdown:
    """The shutdown state of this process.

    During the drain period of `seconds`, the process serves all requests, but reports that it is not ready.
    """

    def __init__(self, seconds: float = 0) -> None:
        self.draining = False
        self._seconds = seconds

    def install(self) -> None:
        """Delay SIGTERM until the drain period is over. A second SIGTERM takes effect at once."""
        # Without a drain period there is nothing to delay. Python delivers signals to the main thread only.
        if self._seconds and threading.current_thread() is threading.main_thread():
            self._loop = asyncio.get_running_loop()
            self._stop: Any = signal.signal(signal.SIGTERM, self._begin)

    def check(self) -> None:
        """Raise ServiceStopping once the drain period has begun."""
        if self.draining:
            raise ServiceStopping()

    def _begin(self, number: int, frame: FrameType | None) -> None:
        if self.draining:
            self._stop(number, frame)
            return
        self.draining = True
        self._loop.call_soon_threadsafe(self._loop.call_later, self._seconds, self._stop, number, None)

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Wrap an application so that each response closes its connection once the drain period has begun."""

        def respond(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            return app(scope, receive, _closing(send) if self.draining else send)

        return respond


def _closing(send: Send) -> Send:
    async def close(message: Message) -> None:
        if message["type"] == "http.response.start":
            others = [header for header in message["headers"] if header[0] != b"connection"]
            message["headers"] = [*others, (b"connection", b"close")]
        await send(message)

    return close
