"""The HTTP server: uvicorn, configured for untrusted clients."""

import gc
import sys
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from api import logs
from api.config import Config
from api.runtime.shutdown import SHUTDOWN_TIMEOUT, GracefulShutdown


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


def uvicorn_config(
    app: ASGIApp | Callable[[], ASGIApp], workers: int = 1, keepalive_seconds: int = 75
) -> uvicorn.Config:
    """Return the configuration of uvicorn for the sockets that the caller opens.

    With several workers, `app` is a factory that each worker calls.
    """
    return uvicorn.Config(
        app,
        factory=workers > 1,
        interface="asgi3",
        workers=workers,
        # By name, because a supervisor does not need the protocol either.
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
