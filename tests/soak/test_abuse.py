"""Hostile clients against the shipped server, in a short form of `make abuse`."""

import json
import secrets
from collections.abc import Iterator

import pytest

from tests.soak.abuse.attacks import Attack
from tests.soak.abuse.connection import Response
from tests.soak.abuse.framing import split
from tests.soak.abuse.marks import Marks
from tests.soak.abuse.report import Row, text
from tests.soak.abuse.server import Server, shipped
from tests.soak.abuse.trial import Trial
from tests.soak.abuse.verdict import Exchange, complaints

PING = b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def charter() -> Iterator[Server]:
    """Run `charter serve` as shipped."""
    with shipped() as server:
        yield server


def judge(trial: Trial, rows: list[Row]) -> None:
    assert all(row.holds for row in rows), "\n".join([f"SEED={trial.seed}", *trial.details, text(rows)])


@pytest.mark.parametrize("seed", ["fixed", "random"])
def test_hostile_requests_get_responses_of_http_and_the_contract(charter: Server, seed: str) -> None:
    trial = Trial(charter, secrets.token_hex(4) if seed == "random" else "0")
    judge(trial, trial.hostile(1_000, warm_up=100))


def test_users_on_shared_connections_get_their_own_responses(charter: Server) -> None:
    trial = Trial(charter, secrets.token_hex(4))
    judge(trial, trial.crowded(12, 30))


@pytest.mark.parametrize(
    ("data", "requests", "rest"),
    [
        (PING * 3, 3, b""),
        (PING + b"\r\n" + PING, 2, b""),
        (PING + b"\n" + PING, 2, b""),
        (b"GET http://a/ping HTTP/1.1\r\nHost: a\r\n\r\n", 1, b""),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcd", 1, b"d"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n", 1, b""),
        *(
            (data, 0, data)
            for data in (
                b"GET /ping HTTP/1.1\r\n\r\n",
                b"GET /ping HTTP/1.1 \r\nHost: a\r\n\r\n",
                b"GET /ping HTTP/1.1\nHost: a\n\n",
                b"GET /ping HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
                b"GET /ping HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab",
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
            )
        ),
    ],
)
def test_split_accepts_only_valid_http(data: bytes, requests: int, rest: bytes) -> None:
    found, left = split(data)
    assert (len(found), left) == (requests, rest)


def response(status: int = 200, body: object = None, **headers: str) -> Response:
    """Return a correct response, except for the given parts."""
    body = {"status": "running"} if body is None else body
    media_type = "application/problem+json" if status >= 400 else "application/json"
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    data = json.dumps(body).encode()
    return Response(status, {"x-request-id": "1", "content-type": media_type, **given}, data, data)


def problem(status: int, code: str) -> dict[str, object]:
    return {"type": "about:blank", "title": "", "status": status, "detail": "", "code": code}


MARKS = Marks("00")


@pytest.mark.parametrize(
    ("data", "responses", "ending", "expected"),
    [
        (PING, [response()], "open", []),
        (PING, [response(400, problem(400, "MALFORMED_REQUEST"), connection="close")], "closed", []),
        (PING + b"\0", [response(connection="close")], "closed", []),
        (b"\0", [], "closed", []),
        (PING, [response(500, problem(500, "INTERNAL_ERROR"))], "open", ["5xx"]),
        (PING, [response(404, problem(404, "ODD"))], "open", ["an error of another form"]),
        (PING, [response(404, "Not Found")], "open", ["an error of another form"]),
        (PING, [response(x_request_id="")], "open", ["no X-Request-ID"]),
        (PING, [response(body="hush00ab")], "open", ["a response contains a mark"]),
        (PING, [], "hung", ["hung"]),
        (PING, [], "garbled", ["garbled"]),
        (PING, [], "closed", ["dropped without a response", "dropped after a response"]),
        (PING, [response()], "closed", ["dropped after a response"]),
        (PING, [response(connection="close")], "closed", ["closed without a reason"]),
        (PING, [response(404, problem(404, "NOT_FOUND"), connection="close")], "closed", ["closed without a reason"]),
        (b"\0", [response()], "closed", ["a response to bytes that are not HTTP"]),
        (PING + b"\0", [response()] * 3, "closed", ["more responses than requests"]),
    ],
)
def test_complaints_name_each_fault_of_an_exchange(
    data: bytes, responses: list[Response], ending: str, expected: list[str]
) -> None:
    requests, rest = split(data)
    assert complaints(Attack("raw", [data]), requests, rest, Exchange(responses, ending), MARKS) == expected
