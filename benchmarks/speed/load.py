"""The load generator wrk, and its results."""

import json
import subprocess
from math import inf
from pathlib import Path
from typing import Literal, NamedTuple

CONNECTIONS = 16
CORE = 1
_SCRIPT = Path(__file__).parent / "wrk.lua"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
Order = Literal["again", "once", "count", "chain"]


class Request(NamedTuple):
    """A request that is sent repeatedly."""

    path: str
    token: str = ""
    body: str = ""
    verb: str = ""
    """The method, unless it is POST for a request with a body and GET for one without."""
    kind: str = JSON
    """The media type of the body."""
    authorization: str = ""
    """The credentials, unless they are the token."""

    @property
    def method(self) -> str:
        return self.verb or ("POST" if self.body else "GET")

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the request, apart from Host."""
        authorization = self.authorization or (f"Bearer {self.token}" if self.token else "")
        identity = {"Authorization": authorization} if authorization else {}
        content = {"Content-Type": self.kind, "Content-Length": str(len(self.body))} if self.body else {}
        return identity | content

    @property
    def raw(self) -> str:
        """The whole request as HTTP."""
        headers = {"Host": "127.0.0.1"} | self.headers
        head = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items())]
        return "\r\n".join([*head, "", self.body])


class Run(NamedTuple):
    """The outcome of one run: the number of responses, their rate per second and their latencies in ms."""

    answers: float
    rate: float
    p50: float
    p90: float
    p99: float
    cost: float = inf
    """CPU microseconds of the service per response. Other load on the machine hardly changes it."""


def run(port: int, requests: Path, seconds: float, order: Order = "again") -> Run:
    """Send the requests of the file, in this order of wrk.lua. Raises AssertionError if a response is an error."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout=30s", f"-s{_SCRIPT}"]
    said = subprocess.check_output([*command, f"http://127.0.0.1:{port}", str(requests), order], text=True)
    return parse(said)


def parse(said: str) -> Run:
    """Return the outcome that wrk.lua printed in the last line."""
    facts = json.loads(said.splitlines()[-1])
    assert facts["failed"] == 0, said
    if not facts["answers"]:
        return Run(0, 0, inf, inf, inf)
    rate = facts["answers"] / facts["microseconds"] * 1e6
    return Run(facts["answers"], rate, *(facts[name] / 1000 for name in ("p50", "p90", "p99")))
