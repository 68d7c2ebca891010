"""A client is given time to take its answer, and not more."""

import asyncio
from typing import Any

_SEND_SECONDS = 10
_SEND_TURNS = 3
_LINGER_SECONDS = 2


class LingeringTransport:
    """A transport whose `close` lets the last answer arrive (RFC 9112, section 9.6), but does not wait long for it.

    Closing at once, with bytes unread, could take the answer back.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting: list[bytes] = []
        self._closing: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write_soon(self, data: bytes) -> None:
        """Write it behind the answers that are being made now: together they wake clients once, each alone 25 us."""
        self._waiting.append(data)
        if len(self._waiting) == 1:
            self._loop.call_soon(self.flush)

    def write(self, data: bytes) -> None:
        self.flush()
        self._transport.write(data)

    def flush(self) -> None:
        """Write what waits; who closes the connection, or says something else, comes after it."""
        waiting, self._waiting = self._waiting, []
        if waiting and not self._transport.is_closing():
            self._transport.write(b"".join(waiting))

    def is_closing(self) -> bool:
        return self._closing is not None or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing():
            return
        self.flush()
        self._transport.write_eof()
        self._closing = self._loop.call_later(_LINGER_SECONDS, self._leave)

    def _leave(self) -> None:
        self._transport.close()
        if self._reading is None:
            self.expect_reading()

    def expect_reading(self, turns: int = _SEND_TURNS) -> None:
        """Break off when the client takes nothing of what waits for it in a turn, or not all of it in so many."""
        waiting = self._transport.get_write_buffer_size()
        self._reading = self._loop.call_later(_SEND_SECONDS, self._judge_reading, waiting, turns - 1)

    def _judge_reading(self, waiting: int, turns: int) -> None:
        if turns and self._transport.get_write_buffer_size() < waiting:
            self.expect_reading(turns)
        else:
            self._transport.abort()

    def expect_no_more(self) -> None:
        """Enough was taken, unless this is the end: then all of it must be."""
        if self._reading is not None and self._closing is None:
            self._reading.cancel()
            self._reading = None

    def forget(self) -> None:
        """Nothing is left to be done: the connection is gone."""
        for timer in (self._closing, self._reading):
            if timer is not None:
                timer.cancel()
