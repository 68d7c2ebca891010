"""The HTTP server that ships: uvicorn, set up for strangers."""

import uvicorn
from starlette.types import ASGIApp

from api.protocol import STOP_SECONDS, BoundedProtocol


def uvicorn_config(app: ASGIApp) -> uvicorn.Config:
    """How uvicorn serves `app`; the sockets come from whoever runs it."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
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
    )
