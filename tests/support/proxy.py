"""A proxy for PostgreSQL that can be cut: completely, or only the change channel, and silently."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Thread

from sqlalchemy import URL


@dataclass
class Link:
    """One connection of a client, and its counterpart to the server."""

    ends: tuple[socket.socket, socket.socket]
    listens: bool = False


@dataclass
class Proxy:
    """A proxy that forwards data to `url`, and can alter it.

    When the proxy is cut, it drops the data from and to a listener.
    """

    url: URL
    listener: socket.socket
    target: str
    cut: bool = False
    alter: Callable[[bytes], bytes] = bytes
    links: list[Link] = field(default_factory=list)

    def accept(self) -> None:
        """Accept connections until the listener is closed."""
        with suppress(OSError):
            while True:
                self._connect(self.listener.accept()[0])

    def close(self) -> None:
        """Refuse new connections, and close the existing ones."""
        # Closing the socket alone does not wake up the blocked accept.
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for link in self.links:
            _close(link)

    def _connect(self, client: socket.socket) -> None:
        database = socket.socket(socket.AF_UNIX)
        database.connect(self.target)
        link = Link((client, database))
        self.links.append(link)
        for source, sink in (link.ends, link.ends[::-1]):
            Thread(target=self._hand_on, args=(source, sink, link), daemon=True).start()

    def _hand_on(self, source: socket.socket, sink: socket.socket, link: Link) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                link.listens = link.listens or b"LISTEN" in data
                if not (self.cut and link.listens):
                    sink.sendall(self.alter(data))
        _close(link)


def _close(link: Link) -> None:
    for end in link.ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextmanager
def proxied(url: URL) -> Iterator[Proxy]:
    """Run a proxy for the PostgreSQL server whose socket is in the folder that `url` names."""
    listener = socket.create_server(("127.0.0.1", 0))
    host, port = listener.getsockname()
    query = {name: value for name, value in url.query.items() if name != "host"}
    target = f"{url.query['host']}/.s.PGSQL.{url.port or 5432}"
    proxy = Proxy(url.set(host=host, port=port, query=query), listener, target)
    thread = Thread(target=proxy.accept, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
