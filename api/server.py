"""The HTTP server that ships: uvicorn, set up for strangers."""

import gc
import sys
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from api import logs
from api.config import Config
from api.stopping import STOP_SECONDS, Stopping


def application(config: Config) -> ASGIApp:
    """What a process serves that does nothing else; raises ContractError for a contract that cannot be served."""
    logs.configure(config.log_format)
    # Who only watches the workers does without it.
    from api.app import create_app  # noqa: PLC0415

    stopping = Stopping(config.drain_seconds)
    app = stopping.announced(create_app(config, stopping))
    # What was made is not looked through from now on: each time would be a pause of 0.05 s for all requests.
    gc.freeze()
    gc.enable()
    # A thread that looks for changes waits for a busy event loop no longer than this, a few times in each look.
    sys.setswitchinterval(0.001)
    return app


def uvicorn_config(app: ASGIApp | Callable[[], ASGIApp], workers: int = 1) -> uvicorn.Config:
    """How uvicorn serves `app`, or what each of several workers makes; the sockets come from whoever runs it."""
    return uvicorn.Config(
        app,
        factory=workers > 1,
        interface="asgi3",
        workers=workers,
        # By name: who only watches the workers does without this, too.
        http="api.protocol:BoundedProtocol",
        # Our own logs have one line per request, and no banner tells strangers what serves them.
        log_config=None,
        access_log=False,
        server_header=False,
        # X-Forwarded-For is anybody's claim.
        proxy_headers=False,
        ws="none",
        # A request on a kept-alive connection would otherwise start with what the one before it left behind.
        reset_contextvars=True,
        # One client that stalls must not keep the process from stopping.
        timeout_graceful_shutdown=STOP_SECONDS,
        # A worker that does not say for so long that it is alive is not.
        timeout_worker_healthcheck=10,
    )
