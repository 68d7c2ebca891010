"""One connection to the server, and the responses on it."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import NamedTuple, Self

_BYTES = 4 * 1024 * 1024


class Response(NamedTuple):
    """One response, with all of its bytes."""

    status: int
    headers: dict[str, str]
    body: bytes
    raw: bytes

    @property
    def ends_connection(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"


class NotHttp(Exception):
    """The server sent bytes that are not an HTTP response."""


class Connection:
    """A connection that can carry any bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int, *, reads: bool = True) -> Self:
        """Connect. Without `reads` the client takes nothing from the kernel, so the server's buffers fill up."""
        link = socket.socket()
        try:
            if not reads:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            link.setblocking(False)
            await asyncio.get_running_loop().sock_connect(link, ("127.0.0.1", port))
            reader, writer = await asyncio.open_connection(sock=link, limit=_BYTES)
        except BaseException:
            # A trial may end while its client connects.
            link.close()
            raise
        if not reads:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        return cls(reader, writer)

    async def send(self, data: bytes) -> None:
        """Send all bytes. A closed connection is not an error, because the server may have responded before."""
        if self._writer.transport.is_closing():
            return
        with suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    def half_close(self) -> None:
        """Half-close the connection, after all bytes."""
        if not self._writer.transport.is_closing():
            with suppress(OSError):
                self._writer.write_eof()

    async def read_response(self, *, has_body: bool = True) -> Response | None:
        """Return the next response, or None if the server closes the connection. Raises NotHttp for anything else."""
        while True:
            try:
                head = await self._reader.readuntil(b"\r\n\r\n")
                response = await self._rest(head, has_body)
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    raise NotHttp(f"half a response: {error.partial[:80]!r}") from None
                return None
            except ConnectionError:
                return None
            if response.status >= 200:
                return response

    async def _rest(self, head: bytes, has_body: bool) -> Response:
        lines = head.decode("latin-1").split("\r\n")[:-2]
        version, _, rest = lines[0].partition(" ")
        if version != "HTTP/1.1" or not rest[:3].isdecimal():
            raise NotHttp(f"no status line: {lines[0][:80]!r}")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        status = int(rest[:3])
        if status < 200 or status in {204, 304}:
            return Response(status, headers, b"", head)
        if "content-length" not in headers:
            raise NotHttp("a response without a length")
        body = await self._reader.readexactly(int(headers["content-length"])) if has_body else b""
        return Response(status, headers, body, head + body)

    @property
    def port(self) -> int:
        """The port of the client."""
        return int(self._writer.get_extra_info("sockname")[1])

    def break_off(self) -> None:
        """Reset the connection (RST, not FIN)."""
        link = self._writer.get_extra_info("socket")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close the connection, and wait until it is closed."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
