"""The HTTP server that ships: uvicorn, set up for strangers."""

from functools import partial

import uvicorn
from starlette.types import ASGIApp

from api.contract.framing import HEADER_BYTES
from api.protocol import STOP_SECONDS, BoundedProtocol

# A chunk of one byte takes six; more than that is no body but what surrounds it.
_CHUNK_OVERHEAD = 6


def uvicorn_config(app: ASGIApp, body_bytes: int) -> uvicorn.Config:
    """How uvicorn serves `app`, whose bodies have a limit; the sockets come from whoever runs it."""
    return uvicorn.Config(
        app,
        http=partial(BoundedProtocol, message_bytes=body_bytes * _CHUNK_OVERHEAD + HEADER_BYTES),  # type: ignore[arg-type]
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
