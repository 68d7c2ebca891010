"""Print the files of `api/` whose code the second log-in of a process executes."""

import socket
import sys
import threading
from pathlib import Path
from types import FrameType

import httpx
import uvicorn

import api
from api.config import load
from api.server.uvicorn_server import application, uvicorn_config

PACKAGE = Path(api.__file__).parent
# These threads do not work for a single request.
BACKGROUND = ("background", "change", "monitor")
PASSWORD = "correct horse battery staple"


class Tracer:
    """A profiler that records the files of all called functions while it is on."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.on = False

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if self.on and event == "call" and not threading.current_thread().name.startswith(BACKGROUND):
            self.files.add(frame.f_code.co_filename)


def main() -> None:
    """Serve, sign up, log in twice, and print the files of the second log-in, one per line."""
    tracer = Tracer()
    threading.setprofile(tracer)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn_config(application(load()), 75))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1/auth", timeout=60) as client:
        user = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}
        client.post("/signup", json=user).raise_for_status()
        for tracer.on in (False, True):
            client.post("/login", json={"username": "alice", "password": PASSWORD}).raise_for_status()
        tracer.on = False
    server.should_exit = True
    thread.join()
    inside = [Path(file).relative_to(PACKAGE.parent) for file in tracer.files if Path(file).is_relative_to(PACKAGE)]
    sys.stdout.write("".join(f"{file}\n" for file in sorted(inside)))


if __name__ == "__main__":
    main()
