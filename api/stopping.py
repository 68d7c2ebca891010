"""Being told to stop: first nobody new is to come, then what is under way ends, then the process."""

import asyncio
import signal
import threading
from collections.abc import Awaitable
from types import FrameType
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ServiceStopping

STOP_SECONDS = 7
"""How long requests may still run when no more are taken; a stuck client is let go a second before."""


class Stopping:
    """Whether this process was told to stop. So many seconds it still serves everybody, and says that it will not."""

    def __init__(self, seconds: float = 0) -> None:
        self.begun = False
        self._seconds = seconds

    def expect_signal(self) -> None:
        """From now on SIGTERM comes to the server when the seconds are over, or when it is sent once more."""
        # Without any there is nothing to be put off; and Python hears signals in its main thread alone.
        if self._seconds and threading.current_thread() is threading.main_thread():
            self._loop = asyncio.get_running_loop()
            self._stop: Any = signal.signal(signal.SIGTERM, self._begin)

    def check(self) -> None:
        """Raise ServiceStopping once this has begun."""
        if self.begun:
            raise ServiceStopping()

    def _begin(self, number: int, frame: FrameType | None) -> None:
        if self.begun:
            self._stop(number, frame)
            return
        self.begun = True
        self._loop.call_soon_threadsafe(self._loop.call_later, self._seconds, self._stop, number, None)

    def announced(self, app: ASGIApp) -> ASGIApp:
        """The same, and once this has begun each answer is the last one of its connection."""

        def answer(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            return app(scope, receive, _closing(send) if self.begun else send)

        return answer


def _closing(send: Send) -> Send:
    async def close(message: Message) -> None:
        if message["type"] == "http.response.start":
            others = [header for header in message["headers"] if header[0] != b"connection"]
            message["headers"] = [*others, (b"connection", b"close")]
        await send(message)

    return close
