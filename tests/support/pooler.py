"""A pooler for PostgreSQL in transaction mode: each transaction of a client may run on another connection.

Like PgBouncer, the pooler reports an invented process to its clients, and delivers no notifications.
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread

from sqlalchemy import URL

_TERMINATE, _SYNC, _QUERY, _READY, _KEY = b"X", b"S", b"Q", b"Z", b"K"
_ENCRYPTION_REQUESTS = {80877103, 80877104}


@dataclass
class Backend:
    """A connection to PostgreSQL after its start, with the messages that PostgreSQL sent at the start."""

    connection: socket.socket
    greeting: list[tuple[bytes, bytes]]


@dataclass
class Pooler:
    """A pooler of a few connections to one database. They are used in turn, so each transaction uses the next one."""

    url: URL
    listener: socket.socket
    target: str
    backends: int
    free: SimpleQueue[Backend] = field(default_factory=SimpleQueue)
    opened: list[socket.socket] = field(default_factory=list)
    threads: list[Thread] = field(default_factory=list)

    def accept(self) -> None:
        """Accept connections until the listener is closed."""
        with suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                # Without this, a response of several messages waits 40 ms for an acknowledgement.
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.opened.append(client)
                self.threads.append(Thread(target=self._serve, args=(client,)))
                self.threads[-1].start()

    def close(self) -> None:
        """Close the listener and all connections."""
        for each in (self.listener, *self.opened):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        for each in (self.listener, *self.opened):
            each.close()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, EOFError):
            startup = _startup(client)
            while self.backends:
                self.backends -= 1
                self.free.put(self._connect(startup))
            backend = self.free.get()
            greeting = list(backend.greeting)
            self.free.put(backend)
            for kind, body in greeting:
                _send(client, kind, b"\0" * 8 if kind == _KEY else body)
            self._relay(client)

    def _connect(self, startup: bytes) -> Backend:
        connection = socket.socket(socket.AF_UNIX)
        self.opened.append(connection)
        connection.connect(self.target)
        connection.sendall(startup)
        return Backend(connection, list(_until_ready(connection)))

    def _relay(self, client: socket.socket) -> None:
        """Lend a connection to the client at the first message of each transaction, until the transaction ends."""
        backend: Backend | None = None
        while (message := _receive(client))[0] != _TERMINATE:
            backend = backend or self.free.get()
            _send(backend.connection, *message)
            if message[0] in {_SYNC, _QUERY}:
                for kind, body in _until_ready(backend.connection):
                    _send(client, kind, body)
                if body == b"I":
                    self.free.put(backend)
                    backend = None


def _startup(client: socket.socket) -> bytes:
    """Return the message that starts a session, and decline encryption before."""
    while True:
        (length,) = struct.unpack("!I", head := _read(client, 4))
        body = _read(client, length - 4)
        if struct.unpack("!I", body[:4])[0] not in _ENCRYPTION_REQUESTS:
            return head + body
        client.sendall(b"N")


def _until_ready(connection: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    kind = b""
    while kind != _READY:
        kind, body = _receive(connection)
        yield kind, body


def _receive(connection: socket.socket) -> tuple[bytes, bytes]:
    kind, length = struct.unpack("!cI", _read(connection, 5))
    return kind, _read(connection, length - 4)


def _send(connection: socket.socket, kind: bytes, body: bytes) -> None:
    connection.sendall(struct.pack("!cI", kind, len(body) + 4) + body)


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        if not (more := connection.recv(count - len(data))):
            raise EOFError
        data += more
    return data


@contextmanager
def pooled(url: URL, backends: int = 2) -> Iterator[Pooler]:
    """Run a pooler for the PostgreSQL server whose socket is in the folder that `url` names."""
    listener = socket.create_server(("127.0.0.1", 0))
    host, port = listener.getsockname()
    query = {name: value for name, value in url.query.items() if name != "host"}
    target = f"{url.query['host']}/.s.PGSQL.{url.port or 5432}"
    pooler = Pooler(url.set(host=host, port=port, query=query), listener, target, backends)
    thread = Thread(target=pooler.accept)
    thread.start()
    try:
        yield pooler
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        pooler.close()
