"""Serve an ASGI application on a socket of 127.0.0.1."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from api.server.uvicorn_server import uvicorn_config
from tests.support.patience import PATIENCE_SECONDS


@contextmanager
def serving(app: ASGIApp, loop: str = "auto", workers: int = 1) -> Iterator[str]:
    """Serve an application with Charter's server, on this kind of event loop, until the block ends.

    The server can act as one of several `workers`.
    """
    # A test may reuse its connection late.
    config = uvicorn_config(app, int(PATIENCE_SECONDS))
    config.loop = loop
    config.workers = workers
    listener = socket.create_server(("127.0.0.1", 0))
    # A small send buffer makes the server notice soon that a client does not read.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
