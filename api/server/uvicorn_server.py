"""The HTTP server: uvicorn, configured for untrusted clients."""

import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import socket
from threading import Thread, Timer

import uvicorn
from starlette.types import ASGIApp

from api import logs
from api.config import Config
from api.runtime.shutdown import EXIT_TIMEOUT, SHUTDOWN_TIMEOUT, GracefulShutdown
from api.server import connexion_import

_STOP_SECONDS = 2

_log = logging.getLogger("charter.server")


def application(config: Config) -> ASGIApp:
    """Set up this process as a server and return its application.

    Raises ContractError if the contract cannot be served.
    """
    logs.configure(config.log_format)
    # Imported here because a supervisor does not need the application.
    from api.app import create_app  # noqa: PLC0415

    stopping = GracefulShutdown(config.drain_seconds)
    app = stopping.wrap(create_app(config, stopping))
    # Objects made so far are excluded from garbage collection: each scan of them would pause all requests for 0.05 s.
    gc.freeze()
    gc.enable()
    # The thread that polls for changes waits at most this long for a busy event loop, a few times in each poll.
    sys.setswitchinterval(0.001)
    return app


def uvicorn_config(app: ASGIApp | Callable[[], ASGIApp], keepalive_seconds: int, workers: int = 1) -> uvicorn.Config:
    """Return the configuration of uvicorn for the sockets that the caller opens.

    With several workers, `app` is a factory that each worker calls.
    """
    return uvicorn.Config(
        app,
        factory=workers > 1,
        interface="asgi3",
        workers=workers,
        # By name, because a supervisor does not import the protocol.
        http="api.server.protocol:BoundedProtocol",
        # Charter logs one line per request itself, and responses do not reveal the server's name.
        log_config=None,
        access_log=False,
        server_header=False,
        # Any client can forge X-Forwarded-For.
        proxy_headers=False,
        ws="none",
        # A request would otherwise inherit the context variables of the previous one on its connection.
        reset_contextvars=True,
        timeout_keep_alive=keepalive_seconds,
        # A stalled client must not keep the process from stopping.
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
        # A worker that fails to respond for this number of seconds is replaced.
        timeout_worker_healthcheck=10,
    )


@contextmanager
def serving_beside(make_app: Callable[[], ASGIApp], listener: socket, keepalive_seconds: int) -> Iterator[None]:
    """Serve another application in a thread, with the limits of the public port.

    The thread imports what the server needs, so this does not delay the start of the service.
    """
    config = uvicorn_config(make_app, keepalive_seconds)
    config.factory = True
    config.lifespan = "off"
    server = _AbruptServer(config)
    thread = Thread(target=_run_beside, args=[server, listener], daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_STOP_SECONDS)


def _run_beside(server: uvicorn.Server, listener: socket) -> None:
    # A supervisor has turned garbage collection off, and a server needs it.
    gc.enable()
    connexion_import.import_connexion()
    server.run([listener])


class PunctualServer(uvicorn.Server):
    """A server whose process exits in time, even if its threads wait for a lock of the database."""

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        timer = Timer(EXIT_TIMEOUT, _exit)
        # The interpreter does not wait for this thread.
        timer.daemon = True
        timer.start()
        await super().shutdown(sockets)


def _exit() -> None:
    _log.error("exit_forced")
    logging.shutdown()
    os._exit(0)


class _AbruptServer(uvicorn.Server):
    """A server that waits for no client when it stops."""

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        for connection in [*self.server_state.connections]:
            connection.transport.abort()
        await super().shutdown(sockets)
