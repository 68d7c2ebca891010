"""The sockets on which a server listens, and the greeting that names them."""

import errno
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

_BACKLOG = 2048
_LAST_PORT = 65535
# A proxy connects as a member of the group.
_UNIX_MODE = 0o660


@contextmanager
def listening(host: str, port: int, settings: tuple[str, str], path: Path | None = None) -> Iterator[socket.socket]:
    """Yield a socket that listens on a TCP port, or on the path of a Unix socket if there is one.

    Ends the command if the address cannot be used, with the advice to change `settings`, the names of the host and the
    port.
    """
    try:
        listener = _open_tcp(host, port) if path is None else _open_unix(path)
    except OSError as error:
        where = f"{host}:{port}" if path is None else host
        reason = str(error.strerror or error).partition(" (while")[0]
        remedy = f"change {' or '.join(settings)}"
        if path is None and error.errno == errno.EADDRINUSE:
            other = port + 1 if port < _LAST_PORT else port - 1
            remedy = f"choose another port: {settings[1]}={other} charter serve"
        raise click.ClickException(f"cannot listen on {where}: {reason}; {remedy}") from None
    try:
        yield listener
    finally:
        listener.close()
        if path is not None:
            path.unlink(missing_ok=True)


def greeting(host: str, port: int, mail: str, path: Path | None = None) -> str:
    """Return what a server prints on standard output: its URLs, where its mails go, and a command to try.

    Standard error is the log.
    """
    if path is not None:
        # A path is not part of a URL.
        command = f"curl --unix-socket {path} http://localhost/ready"
        return _lines(host, "/docs", "/openapi.json", mail, command)
    # A browser cannot open the wildcard address.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return _lines(base, f"{base}/docs", f"{base}/openapi.json", mail, f"curl {base}/ready")


def _lines(*values: str) -> str:
    names = ("API", "Documentation", "Contract", "Mail", "Try it")
    return "\n".join(f"{name:13}  {value}" for name, value in zip(names, values, strict=True))


def _open_tcp(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The wildcard address of IPv6 includes IPv4, unlike Python's default.
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=both)


def _open_unix(path: Path) -> socket.socket:
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        path.chmod(_UNIX_MODE)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove the socket of a server that was killed. A file of another kind, and a live socket, are kept."""
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.stat().st_mode):
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(str(path))
                except ConnectionRefusedError:
                    path.unlink()
