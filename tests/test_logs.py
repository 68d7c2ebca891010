"""The log: one line for each event and request, which clients cannot forge."""

import io
import json
import logging
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from api import logs
from api.services import credentials
from tests.support.databases import on_sqlite
from tests.support.log_stream import Configure, LogStream, lines
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import PASSWORD, Person

CANARY = "canary-5b1e7f"


def stable_members(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in {"time", "ms"}}


def test_each_authentication_event_is_logged_with_user_and_request(client: TestClient, log: io.StringIO) -> None:
    alice = Person(client, "alice")
    responses = [
        alice.sign_up(),
        alice.log_in(password="wrong password"),
        alice.log_in(username="unknown"),
        alice.log_in(),
        alice.refresh(),
        alice.put("/api/v1/me/password", json={"current_password": "wrong", "new_password": "another passphrase"}),
        alice.put("/api/v1/me/password", json={"current_password": PASSWORD, "new_password": "another passphrase"}),
        alice.log_out(),
    ]
    found = lines(log, "events")
    session = found[3]["session_id"]
    expected: list[dict[str, Any]] = [
        {"event": "user_created", "user_id": alice.id},
        {"event": "log_in_failed", "user_id": alice.id},
        {"event": "log_in_failed", "user_id": None},
        {"event": "session_issued", "user_id": alice.id, "session_id": session},
        {"event": "session_refreshed", "user_id": alice.id, "session_id": session},
        {"event": "password_change_failed", "user_id": alice.id},
        {"event": "password_changed", "user_id": alice.id},
        {"event": "session_revoked", "user_id": alice.id, "session_id": session},
    ]
    common = {"level": "info", "logger": "charter.events", "address": "127.0.0.1"}
    ids = [response.headers["x-request-id"] for response in responses]
    assert [stable_members(line) for line in found] == [
        common | {"request_id": request_id} | facts for request_id, facts in zip(ids, expected, strict=True)
    ]
    assert all(re.fullmatch(r"[0-9T:-]{19}\.[0-9]{3}Z", line["time"]) for line in found)
    times = [datetime.fromisoformat(line["time"]) for line in found]
    assert times == sorted(times)
    assert all(timedelta() <= datetime.now(UTC) - time < timedelta(minutes=1) for time in times)
    assert UUID(session).version == 7


def test_each_request_is_logged_with_its_request_id(client: TestClient, alice: Person, log: io.StringIO) -> None:
    requests: list[tuple[str, str, int, dict[str, str]]] = [
        ("GET", "/ping", 200, {}),
        ("GET", "/protected", 200, {"user_id": alice.id}),
        ("GET", "/nowhere", 404, {"code": "NOT_FOUND"}),
        ("POST", "/protected", 405, {"code": "METHOD_NOT_ALLOWED"}),
        ("HEAD", "/docs", 200, {}),
    ]
    responses = [client.request(method, path, headers=alice.headers) for method, path, _, _ in requests]
    assert [stable_members(line) for line in lines(log)] == [
        {"level": "info", "logger": "charter.requests", "event": "request"}
        | {"request_id": response.headers["x-request-id"], "address": "127.0.0.1"}
        | more
        | {"method": method, "path": path, "status": status}
        for response, (method, path, status, more) in zip(responses, requests, strict=True)
    ]
    assert all(0 <= line["ms"] < 10_000 for line in lines(log))
    assert len({response.headers["x-request-id"] for response in responses}) == len(requests)


def test_the_lines_equal_those_that_logging_writes(client: TestClient, alice: Person, configure: Configure) -> None:
    headers = alice.headers

    def logged() -> list[dict[str, Any]]:
        stream = configure("json")
        if is_through_logging:
            logging.root.addHandler(logging.NullHandler())
        assert client.get("/protected", headers=headers).status_code == 200
        assert alice.log_in(password="wrong password").status_code == 401
        assert client.get("/nowhere").status_code == 404
        return [stable_members(line | {"request_id": ""}) for line in lines(stream)]

    is_through_logging = False
    found = logged()
    is_through_logging = True
    assert found == logged()
    assert len(found) == 4


@on_sqlite
def test_a_request_cannot_choose_its_id_or_address(client: TestClient, log: io.StringIO) -> None:
    claims = {
        "X-Request-ID": CANARY,
        "X-Forwarded-For": "10.1.2.3",
        "Forwarded": "for=10.1.2.3",
        "X-Real-IP": "10.1.2.3",
    }
    response = client.get("/ping", headers=claims)
    ignored, line = lines(log)
    assert (ignored["event"], ignored["address"]) == ("forwarded_header_ignored", "127.0.0.1")
    assert (line["request_id"], line["address"]) == (response.headers["x-request-id"], "127.0.0.1")
    assert CANARY not in response.headers["x-request-id"]


TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    "traceparent", [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-ff", f"cc-{TRACE}-{SPAN}-00-more-to-come"]
)
def test_all_lines_of_a_request_have_its_trace_id(client: TestClient, log: io.StringIO, traceparent: str) -> None:
    client.headers["traceparent"] = traceparent
    assert Person(client, "alice").log_in().status_code == 401
    assert [line["event"] for line in lines(log)] == ["log_in_failed", "request"]
    assert [(line["trace_id"], line["parent_id"]) for line in lines(log)] == [(TRACE, SPAN)] * 2


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        CANARY,
        f"{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{TRACE}-{SPAN[1:]}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00_{TRACE}_{SPAN}_01",
        f"00-{TRACE[:-1]}\u0661-{SPAN}-01".encode(),
        f"00-{TRACE}-{SPAN}-01," * 200,
    ],
)
@on_sqlite
def test_an_invalid_traceparent_is_ignored(client: TestClient, log: io.StringIO, traceparent: str | bytes) -> None:
    assert client.get(
        "/ping", headers=[(b"traceparent", traceparent if isinstance(traceparent, bytes) else traceparent.encode())]
    ).is_success
    (line,) = lines(log)
    assert {"trace_id", "parent_id"}.isdisjoint(line)
    assert CANARY not in log.getvalue()


@on_sqlite
def test_two_traceparent_headers_are_ignored(client: TestClient, log: io.StringIO) -> None:
    twice = [("traceparent", f"00-{TRACE}-{SPAN}-01")] * 2
    assert client.get("/ping", headers=twice).status_code == 200
    assert "trace_id" not in lines(log)[0]


@on_sqlite
def test_a_live_server_logs_the_address_of_the_client(server: str, log: io.StringIO) -> None:
    httpx.get(f"{server}/ping", headers={"X-Forwarded-For": "10.1.2.3"})
    events = [(line["event"], line["address"]) for line in lines(log)]
    assert events == [("forwarded_header_ignored", "127.0.0.1"), ("request", "127.0.0.1")]


FORGED_PATH = "/%0d%0a{%22event%22:%22session_issued%22}%0a12:00:00%20info%1b[2J%1b]0;x%07%c2%9b31m%e2%80%a8%00%7f%ff"


@pytest.mark.parametrize("form", ["json", "text"])
def test_control_characters_are_escaped(client: TestClient, configure: Configure, form: str) -> None:
    log = configure(form)
    client.get(FORGED_PATH)
    Person(client, "alice\r\n\x1b[31m\u2028\x9b").log_in()
    Person(client, "alice\r\n\x1b[31m\u2028\x9b").sign_up()
    written = log.getvalue().splitlines()
    assert len(written) == 4
    assert log.getvalue().isascii()
    assert set(re.findall(r"[^ -~]", log.getvalue())) == {"\n"}
    if form == "json":
        assert json.loads(written[0])["path"].startswith('/\r\n{"event":"session_issued"}\n12:00:00 info\x1b[2J')


@pytest.mark.parametrize("form", ["json", "text"])
@on_sqlite
def test_an_exception_cannot_forge_a_line(
    client: TestClient, configure: Configure, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("\r12:00:00 info    session_issued\n12:00:00 info    session_issued\x1b[2J\x9b")

    monkeypatch.setattr(credentials, "log_in", fail)
    log = configure(form)
    Person(client, "alice").log_in()
    starts = [line[:4] for line in log.getvalue().split("\n") if "session_issued" in line]
    assert set(starts) == {'{"ti'} if form == "json" else {"    "}
    assert set(re.findall(r"[^ -~]", log.getvalue())) == {"\n"}


def test_the_text_format_is_short(client: TestClient, configure: Configure) -> None:
    log = configure("text")
    alice = Person(client, "alice")
    signed_up = alice.sign_up()
    alice.log_in()
    responses = [signed_up, client.get("/no%20where"), alice.get("/protected")]
    tails = [response.headers["x-request-id"][-6:] for response in responses]
    first, second, _, _, third, fourth = log.getvalue().splitlines()
    time = r"\d\d:\d\d:\d\d"
    user = alice.id
    assert re.fullmatch(rf'{time} user_created address="127.0.0.1" user_id="{user}" id=\.\.\.{tails[0]}', first)
    assert re.fullmatch(rf"{time} 201 POST /api/v1/auth/signup [\d.]+ ms id=\.\.\.{tails[0]}", second)
    assert re.fullmatch(rf"{time} 404 GET /no%20where [\d.]+ ms NOT_FOUND id=\.\.\.{tails[1]}", third)
    assert re.fullmatch(rf"{time} 200 GET /protected [\d.]+ ms user=\.\.\.{user[-6:]} id=\.\.\.{tails[2]}", fourth)
    assert all(len(line) <= 80 for line in (second, third, fourth))


class Terminal(LogStream):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_text_and_a_file_gets_json(configure: Configure) -> None:
    configure("text")
    for stream, start in (
        (LogStream(), r'\{"time"'),
        (Terminal(), "\x1b\\[2m\\d\\d:\\d\\d:\\d\\d\x1b\\[0m user_created"),
    ):
        logs.configure("auto", stream)
        logs.event("user_created")
        assert re.match(start, stream.getvalue())


@on_sqlite
def test_a_terminal_gets_colours_by_status_and_level(client: TestClient, configure: Configure) -> None:
    configure("text")
    terminal = Terminal()
    logs.configure("auto", terminal)
    client.get("/ping")
    client.get("/nowhere%1b[31m")
    logging.getLogger("charter.database").error("database_unavailable", extra={"facts": {"cause": "\x1b[2J"}})
    found = terminal.getvalue()
    for part in (
        "\x1b[32m 200\x1b[0m",
        "\x1b[33m 404\x1b[0m",
        "\x1b[31m error\x1b[0m",
        "\x1b[31m database_unavailable",
    ):
        assert part in found
    # The escapes of the client are escaped.
    assert set(re.findall("\x1b[^m]*m", found)) == {f"\x1b[{code}m" for code in ("0", "2", "31", "32", "33")}
    assert "/nowhere\\u001b[31m" in found
    assert "\x1b" not in re.sub("\x1b\\[[0-9]+m", "", found)


def test_a_failing_log_does_not_fail_requests(client: TestClient, configure: Configure) -> None:
    class Full(LogStream):
        is_full = True

        def write(self, text: str) -> int:
            if self.is_full:
                raise OSError("No space left on device")
            return super().write(text)

    configure("json")
    stream = Full()
    logs.configure("json", stream)
    assert Person(client, "alice").sign_up().status_code == 201
    logging.root.handlers[0].flush()
    stream.is_full = False
    logs.event("session_issued")
    issued, dropped = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert issued["event"] == "session_issued"
    # The lines of the sign-up: the event and the request.
    assert (dropped["level"], dropped["event"], dropped["count"]) == ("error", "lines_dropped", 2)


def test_lines_over_the_limit_are_dropped_and_counted(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    accepts, begun = Event(), Event()

    class Stuck(LogStream):
        def write(self, text: str) -> int:
            begun.set()
            assert accepts.wait(PATIENCE_SECONDS)
            return super().write(text)

    configure("json")
    monkeypatch.setattr("api.logs.MAX_WAITING", 5)
    stream = Stuck()
    logs.configure("json", stream)
    logs.event("first")
    assert begun.wait(PATIENCE_SECONDS)
    for number in range(12):
        logs.event("later", number=number)
    accepts.set()
    first, *later, dropped = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert first["event"] == "first"
    assert [line["number"] for line in later] == [0, 1, 2, 3, 4]
    assert (dropped["logger"], dropped["event"], dropped["count"]) == ("charter.logs", "lines_dropped", 7)
    logs.event("last")
    assert json.loads(stream.getvalue().splitlines()[-1])["event"] == "last"


def test_a_stream_that_is_not_blocking_loses_no_line(configure: Configure) -> None:
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    with os.fdopen(readable) as reader, os.fdopen(writable, "w") as stream:
        configure("json")
        logs.configure("json", stream)
        for number in range(2_000):
            logs.event("user_created", number=number)
        assert [json.loads(reader.readline())["number"] for _ in range(2_000)] == list(range(2_000))
        logging.root.handlers[0].flush()


@pytest.mark.parametrize("then", ["pass", "await asyncio.sleep(0.5); os._exit(0)"])
@pytest.mark.slow
def test_a_buffered_line_is_written_soon_or_at_exit(then: str) -> None:
    serve = f"async def serve():\n logs.request(path='/last')\n {then}\n"
    program = f"import asyncio, os\nfrom api import logs\nlogs.configure('json')\n{serve}asyncio.run(serve())"
    result = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert json.loads(result.stderr)["path"] == "/last"


@on_sqlite
def test_the_log_has_the_cause_of_a_database_failure(client: TestClient, log: io.StringIO) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("SELECT", None, Exception("disk I/O error"))

    event.listen(Engine, "before_cursor_execute", fail)
    try:
        response = Person(client, "alice", PASSWORD).log_in()
    finally:
        event.remove(Engine, "before_cursor_execute", fail)
    assert response.status_code == 503
    (failure,) = lines(log, "database")
    assert stable_members(failure) == {
        "level": "error",
        "logger": "charter.database",
        "event": "database_unavailable",
        "request_id": response.headers["x-request-id"],
        "address": "127.0.0.1",
        "cause": "disk I/O error",
    }


def test_a_rolled_back_transaction_logs_no_event(client: TestClient, log: io.StringIO) -> None:
    def fail(_: Connection) -> None:
        raise OperationalError("COMMIT", None, Exception("disk full"))

    event.listen(Engine, "commit", fail)
    try:
        assert Person(client, "alice").sign_up().status_code == 503
    finally:
        event.remove(Engine, "commit", fail)
    assert lines(log, "events") == []
