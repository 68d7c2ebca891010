"""HTTP requests as bytes, and connections that send any bytes and read the responses."""

import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import PASSWORD

SIGN_UP = "/api/v1/auth/signup"
SIGN_UP_BODY = json.dumps({"username": "alice", "email": "alice@example.com", "password": PASSWORD}).encode()


class RawResponse(NamedTuple):
    """The status, headers and body of a response. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> object:
        """The error code in the body."""
        return json.loads(self.body)["code"]


class RawConnection:
    """A TCP connection to a server that can send any bytes."""

    def __init__(self, server: str) -> None:
        address = urlsplit(server)
        self._socket = socket.create_connection((address.hostname, address.port), timeout=PATIENCE_SECONDS)
        self._ports = self._socket.getsockname()[1], self._socket.getpeername()[1]
        self._file = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read_response(self, *, has_body: bool = True) -> RawResponse:
        """Read the next response, up to its Content-Length."""
        status = int(self._file.readline().split()[1])
        headers = {}
        while (line := self._file.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return RawResponse(status, headers, self._file.read(int(headers.get("content-length", "0")) if has_body else 0))

    def read_all(self) -> bytes:
        """Read until the server closes or resets the connection, and return all bytes."""
        received = b""
        try:
            while chunk := self._socket.recv(65_536):
                received += chunk
        except ConnectionError:
            pass
        return received

    def read_chunks(self) -> Iterator[bytes]:
        """Yield the bytes that arrive until the server closes the connection."""
        while chunk := self._socket.recv(65_536):
            yield chunk

    def is_open_at_server(self) -> bool:
        """Return False if the server process has closed the socket, according to the kernel. Reads no data."""
        local, remote = (f":{port:04X}" for port in self._ports)
        rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()]
        # The kernel may still send data of a socket that its process has closed. Such a socket has no inode.
        return any(row[1].endswith(remote) and row[2].endswith(local) and row[9] != "0" for row in rows)

    def is_closed(self) -> bool:
        """Wait until data arrives or the server closes the connection. Return True if it was closed."""
        return self._file.read(1) == b""

    def reset(self) -> None:
        """Reset the connection: send RST instead of FIN."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close_sending(self) -> None:
        """Close the sending side (FIN) and keep the receiving side open."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def raw_request(line: str, *headers: str, body: bytes = b"") -> bytes:
    """Return the bytes of a request with a Host, and with a Content-Length unless `headers` set the framing."""
    lines = [f"{line} HTTP/1.1", "Host: 127.0.0.1", *headers]
    if body and not any(header.lower().startswith(("content-length", "transfer-encoding")) for header in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def sign_up_request(*headers: str, body: bytes = SIGN_UP_BODY) -> bytes:
    """Return the bytes of a sign-up request."""
    return raw_request(f"POST {SIGN_UP}", *headers, body=body)
