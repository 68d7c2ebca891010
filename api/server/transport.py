"""A transport that limits how long a client may take to read a response."""

import asyncio
from typing import Any

_SEND_SECONDS = 10
_SEND_TURNS = 3
_LINGER_SECONDS = 2


class LingeringTransport:
    """A transport whose `close` waits briefly until the last response has arrived (RFC 9112, section 9.6).

    An immediate close, with received bytes unread, could destroy the response.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting: list[bytes] = []
        self._closing: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None
        self.input_has_ended = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write_batched(self, data: bytes) -> None:
        """Write the data at the end of this turn of the event loop.

        Responses that are written together wake the clients once. Each separate write costs 25 us.
        """
        self._waiting.append(data)
        if len(self._waiting) == 1:
            self._loop.call_soon(self.flush)

    def write(self, data: bytes) -> None:
        self.flush()
        self._transport.write(data)

    def flush(self) -> None:
        """Write the buffered data now, ahead of a close or of other data."""
        waiting, self._waiting = self._waiting, []
        if waiting and not self._transport.is_closing():
            self._transport.write(b"".join(waiting))

    def is_closing(self) -> bool:
        return self._closing is not None or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing():
            return
        self.flush()
        if self.input_has_ended:
            # No byte of the client can arrive any more, so an immediate close is safe.
            self._leave()
            return
        self._transport.write_eof()
        self._closing = self._loop.call_later(_LINGER_SECONDS, self._leave)

    def _leave(self) -> None:
        self._transport.close()
        if self._reading is None:
            self.start_write_timeout()

    def start_write_timeout(self, turns: int = _SEND_TURNS) -> None:
        """Abort if the client reads nothing for one interval, or has not drained the buffer after `turns` intervals."""
        waiting = self._transport.get_write_buffer_size()
        self._reading = self._loop.call_later(_SEND_SECONDS, self._judge_reading, waiting, turns - 1)

    def _judge_reading(self, waiting: int, turns: int) -> None:
        if turns and self._transport.get_write_buffer_size() < waiting:
            self.start_write_timeout(turns)
        else:
            self._transport.abort()

    def stop_write_timeout(self) -> None:
        """Stop the write timeout, unless the connection is closing: then the buffer must drain fully."""
        if self._reading is not None and self._closing is None:
            self._reading.cancel()
            self._reading = None

    def cancel(self) -> None:
        """Cancel all timers. Call this when the connection is lost."""
        for timer in (self._closing, self._reading):
            if timer is not None:
                timer.cancel()
