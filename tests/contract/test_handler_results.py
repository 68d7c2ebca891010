"""The results of handlers: statuses, headers, media types and responses of Flask."""

import io
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flask
import pytest
from starlette.testclient import TestClient

from tests.support.engine import SHARED, Engine, TransactionLog, returning

THING = "{type: object, required: [id], properties: {id: {type: string}, at: {type: string, format: date-time}}}"
JSON = f"content: {{application/json: {{schema: {THING}}}}}"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
SECRET = {"id": "1", "password": "x"}


def contract(responses: str, method: str = "get") -> str:
    """Return the file of the tag `a` with one operation and these responses."""
    return f"""
tags: [{{name: a}}]
paths:
  /things:
    {method}:
      tags: [a]
      operationId: listThings
      responses: {{{responses}}}
"""


def response(*media: str) -> str:
    """Return a 200 response with these media types and their schemas."""
    return f"'200': {{description: '', content: {{{', '.join(media)}}}}}"


@pytest.fixture
def call(engine: Engine) -> Callable[..., Any]:
    """A function that serves a contract with one result, and returns the response."""

    def call(responses: str, result: object, method: str = "GET", **headers: str) -> Any:
        engine.write(contract(responses))
        engine.formats |= dict.fromkeys(("binary", "date"), bool)
        handler = result if callable(result) else returning(result)
        engine.handlers.list_things = handler  # type: ignore[attr-defined]
        with TestClient(engine.start(), follow_redirects=False) as client:
            client.headers.pop("accept")
            return client.request(method, "/things", headers=headers)

    return call


SEVERAL = (
    f"'200': {{description: '', {JSON}}}, '201': {{description: '', {JSON}}}, '204': {{description: ''}}, "
    f"'3XX': {{description: ''}}, '404': {{description: '', {JSON}}}"
)


@pytest.mark.parametrize(
    ("result", "status", "body"),
    [
        (SECRET, 200, b'{"id":"1"}'),
        ((SECRET, 201), 201, b'{"id":"1"}'),
        ((SECRET, "201 Created"), 201, b'{"id":"1"}'),
        ((SECRET, {"X-Word": "a"}), 200, b'{"id":"1"}'),
        ((SECRET, 201, {"X-Word": "a"}), 201, b'{"id":"1"}'),
        ((SECRET, 404), 404, b'{"id":"1"}'),
        ((SECRET, 204), 204, b""),
        ((None, 304), 304, b""),
        ((None, 302, {"Location": "/x"}), 302, b""),
        (SimpleNamespace(id="1", at=NOON), 200, b'{"id":"1","at":"2026-01-31T12:00:00.000Z"}'),
    ],
)
def test_results_name_their_status_and_headers(
    call: Callable[..., Any], result: object, status: int, body: bytes
) -> None:
    served = call(SEVERAL, result)
    assert (served.status_code, served.content) == (status, body)
    if isinstance(result, tuple) and isinstance(result[-1], dict):
        assert {name: served.headers[name] for name in result[-1]} == result[-1]
    assert ("content-length" in served.headers) == (status not in {204, 304})


@pytest.mark.parametrize(
    ("declared", "status"),
    [("'201'", 201), ("'202', '204'", 202), ("2XX", 200), ("default", 200), ("'302'", 302), ("'404', default", 200)],
)
def test_a_plain_body_gets_the_first_declared_2xx(call: Callable[..., Any], declared: str, status: int) -> None:
    responses = ", ".join(f"{name}: {{description: '', {JSON}}}" for name in declared.split(", "))
    assert call(responses, SECRET).status_code == status


@pytest.mark.parametrize("result", [(SECRET, 202), (SECRET, 500), (SECRET, None), (SECRET,), (1, 2, 3, 4)])
def test_undeclared_statuses_and_other_tuples_fail(
    call: Callable[..., Any], caplog: pytest.LogCaptureFixture, result: object
) -> None:
    assert call(SEVERAL, result).status_code == 500
    assert "listThings: " in caplog.text
    assert "status" in caplog.text


def test_an_operation_without_a_2xx_needs_a_status(call: Callable[..., Any]) -> None:
    responses = f"'404': {{description: '', {JSON}}}"
    assert call(responses, (SECRET, 404)).status_code == 404
    assert call(responses, SECRET).status_code == 500


def test_failed_responses_roll_back_and_name_the_member(
    engine: Engine, call: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert call(response(f"application/json: {{schema: {THING}}}"), {"id": "1", "at": 1.5j}).status_code == 500
    assert engine.transactions.outcomes == ["rolled back"]
    assert "listThings: the response cannot be serialized at /at" in caplog.text


HEADERS = """'200': {description: '', headers: {
  X-Number: {schema: {type: integer}}, X-Flag: {schema: {type: boolean}},
  X-At: {schema: {type: string, format: date-time}}, X-Day: {schema: {type: string, format: date}},
  X-List: {schema: {type: array, items: {type: integer}}},
  X-Map: {schema: {type: object, additionalProperties: {type: integer}}},
  X-Exploded: {explode: true, schema: {type: object, additionalProperties: {type: boolean}}},
  X-Gaps: {schema: {type: array, items: {type: number, nullable: true}}},
  X-Quoted: {content: {application/json: {schema: {type: string}}}},
  X-Plain: {content: {text/plain: {schema: {type: string}}}}, Last-Modified: {schema: {type: string}},
  X-Json: {content: {application/json: {schema: {type: object, properties: {a: {type: integer}}}}}}}}"""


def test_header_values_are_written_as_text(call: Callable[..., Any]) -> None:
    headers = {
        "X-Number": 5, "X-Flag": True, "X-At": NOON, "X-Day": date(2026, 1, 31), "X-List": [1, 2], "X-Map": {"a": 1},
        "X-Exploded": {"a": True, "b": False}, "X-Gaps": [1.5, None], "X-Quoted": "ä", "X-Plain": "a",
        "Last-Modified": NOON, "X-Json": {"a": 1, "b": 2}, "X-None": None, "X-Other": 7, "Expires": NOON,
    }  # fmt: skip
    served = call(HEADERS, (None, headers)).headers
    assert {name: served.get(name) for name in headers} == {
        "X-Number": "5", "X-Flag": "true", "X-At": "2026-01-31T12:00:00.000Z", "X-Day": "2026-01-31", "X-List": "1,2",
        "X-Map": "a,1", "X-Exploded": "a=true,b=false", "X-Gaps": "1.5,null", "X-Quoted": r'"\u00e4"', "X-Plain": "a",
        "Last-Modified": "Sat, 31 Jan 2026 12:00:00 GMT", "X-Json": '{"a": 1}', "X-None": None,
        "X-Other": "7", "Expires": "Sat, 31 Jan 2026 12:00:00 GMT",
    }  # fmt: skip


TEXT = "{schema: {type: string}}"
BINARY = "{schema: {type: string, format: binary}}"


@pytest.mark.parametrize(
    ("media", "result", "body", "kind"),
    [
        (f"text/plain: {TEXT}", "ä", "ä".encode(), "text/plain; charset=utf-8"),
        (f"text/html: {TEXT}", "<p>", b"<p>", "text/html; charset=utf-8"),
        (f"text/csv: {TEXT}", "a,b\r\n", b"a,b\r\n", "text/csv; charset=utf-8"),
        (f"text/csv: {TEXT}", iter(["a\r\n", "b\r\n"]), b"a\r\nb\r\n", "text/csv; charset=utf-8"),
        ("text/plain: {schema: {type: string, format: date}}", NOON, b"2026-01-31", "text/plain; charset=utf-8"),
        ("text/plain: {schema: {type: integer}}", 5, b"5", "text/plain; charset=utf-8"),
        ("text/plain: {schema: {type: boolean}}", True, b"true", "text/plain; charset=utf-8"),
        ("text/plain: {schema: {type: number}}", Decimal("1.50"), b"1.5", "text/plain; charset=utf-8"),
        (f"application/xml: {TEXT}", "<a/>", b"<a/>", "application/xml"),
        (f"application/pdf: {BINARY}", b"\xff", b"\xff", "application/pdf"),
        (f"application/octet-stream: {BINARY}", io.BytesIO(b"\xff"), b"\xff", "application/octet-stream"),
        ("image/png: {}", b"\xff", b"\xff", "image/png"),
        (f"application/hal+json: {{schema: {THING}}}", SECRET, b'{"id":"1"}', "application/hal+json"),
        ("application/json: {}", "a", b'"a"', "application/json"),
        ("'*/*': {}", "a", b"a", "text/plain; charset=utf-8"),
        ("'*/*': {}", b"a", b"a", "application/octet-stream"),
        (f"'*/*': {{schema: {THING}}}", SECRET, b'{"id":"1"}', "application/json"),
        (f"'*/*': {{schema: {THING}}}", (SECRET, {"Content-Type": "a/b+json"}), b'{"id":"1"}', "a/b+json"),
        ("image/*: {}", (b"\xff", {"Content-Type": "image/png"}), b"\xff", "image/png"),
        (f"application/x-ndjson: {{schema: {THING}}}", [SECRET, SECRET], b'{"id":"1"}\n' * 2, "application/x-ndjson"),
        (
            f"application/x-ndjson: {{schema: {{type: array, items: {THING}}}}}",
            iter([SECRET, SECRET]),
            b'{"id":"1"}\n' * 2,
            "application/x-ndjson",
        ),
    ],
)
def test_each_media_type_is_sent_as_it_is(
    call: Callable[..., Any], media: str, result: object, body: bytes, kind: str
) -> None:
    served = call(response(media), result)
    assert (served.status_code, served.headers["content-type"], served.content) == (200, kind, body)
    assert "vary" not in served.headers


@pytest.mark.parametrize(
    ("media", "result"),
    [
        (f"text/plain: {TEXT}", SECRET),
        (f"text/plain: {TEXT}", [1]),
        (f"text/plain: {TEXT}", None),
        (f"text/plain: {TEXT}", "\ud800"),
        (f"text/plain: {TEXT}", ("a", {"Content-Type": "text/html"})),
        ("image/*: {}", b"\xff"),
        ("image/*: {}", (b"\xff", {"Content-Type": "text/html"})),
        (f"text/csv: {TEXT}", iter([SECRET])),
        (f"application/x-ndjson: {{schema: {THING}}}", iter([{}])),
        (f"application/x-ndjson: {{schema: {THING}}}", 5),
    ],
)
def test_bodies_that_their_media_type_cannot_express_fail(
    engine: Engine, call: Callable[..., Any], media: str, result: object
) -> None:
    assert call(response(media), result).status_code == 500
    assert engine.transactions.outcomes == ["rolled back"]


NEGOTIATED = response(f"application/json: {{schema: {THING}}}", f"text/csv: {TEXT}", f"text/plain: {TEXT}")


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("text/*", "text/csv"),
        ("text/csv;q=0.5, text/plain", "text/plain"),
        ("text/csv;q=0.5, */*;q=0.1", "text/csv"),
        ("application/json;q=0, */*", "text/csv"),
        ("TEXT/CSV;charset=utf-8", "text/csv"),
        ("image/png", None),
        ("application/json;q=0", None),
    ],
)
def test_accept_chooses_the_media_type(
    engine: Engine, call: Callable[..., Any], accept: str | None, media_type: str | None
) -> None:
    called = []

    def handler(db: TransactionLog, media_type: str) -> object:
        called.append(media_type)
        return SECRET if media_type == "application/json" else "text"

    served = call(NEGOTIATED, handler, **({"accept": accept} if accept else {}))
    if media_type is None:
        assert (served.status_code, served.json()["code"]) == (406, "NOT_ACCEPTABLE")
        assert served.headers["content-type"] == "application/problem+json"
        assert (called, engine.transactions.outcomes) == ([], [])
    else:
        assert (served.status_code, called) == (200, [media_type])
        assert served.headers["content-type"].startswith(media_type)
        assert served.headers["vary"] == "Accept"


def test_each_status_has_the_media_type_that_accept_chose(call: Callable[..., Any]) -> None:
    served = call(f"{NEGOTIATED}, {NEGOTIATED.replace('200', '201')}", ("a,b", 201), accept="text/csv")
    assert (served.status_code, served.headers["content-type"]) == (201, "text/csv; charset=utf-8")


def test_errors_are_problems_whatever_the_client_accepts(call: Callable[..., Any]) -> None:
    served = call(NEGOTIATED, lambda: 1 / 0, accept="text/csv")
    assert (served.status_code, served.headers["content-type"]) == (500, "application/problem+json")


def test_a_parameter_named_media_type_reaches_the_handler(engine: Engine) -> None:
    text = contract(NEGOTIATED).replace(
        "operationId", "parameters: [{name: media_type, in: query, schema: {type: string}}]\n      operationId"
    )
    engine.write(text)
    engine.handlers.list_things = lambda media_type: {"id": media_type}  # type: ignore[attr-defined]
    assert engine.request("/things?media_type=x").json() == {"id": "x"}


HTML = "{text/html: {schema: {type: string}}}"
FLASK = f"'200': {{description: '', {JSON}}}, '201': {{description: '', {JSON}}}, '302': {{description: ''}}"


@pytest.mark.parametrize(
    ("responses", "handler", "status", "body"),
    [
        (FLASK, lambda: flask.jsonify(SECRET), 200, b'{"id":"1"}'),
        (FLASK, lambda: (flask.jsonify(SECRET), 201, {"X-Word": "a"}), 201, b'{"id":"1"}'),
        (FLASK, lambda: flask.make_response(SECRET, 201), 201, b'{"id":"1"}'),
        (FLASK, lambda: flask.redirect("/x"), 302, b""),
        (f"'200': {{description: '', content: {HTML}}}", lambda: flask.Response("<p>"), 200, b"<p>"),
        (f"'200': {{description: '', content: {HTML}}}", lambda: flask.make_response("<p>"), 200, b"<p>"),
        (f"'200': {{description: '', content: {HTML}}}", lambda: flask.Response(iter(["<", "p>"])), 200, b"<p>"),
        (FLASK, lambda: flask.Response("<p>"), 500, None),
        (FLASK, lambda: flask.jsonify({}), 500, None),
        (FLASK, lambda: (flask.jsonify(SECRET), 404), 500, None),
    ],
)
@pytest.mark.parametrize("observed", [False, True])
def test_responses_of_flask_are_sent_as_the_contract_declares(
    engine: Engine, call: Callable[..., Any], responses: str, handler: Any, status: int, body: bytes, observed: bool
) -> None:
    seen = []

    def observing() -> Any:
        if observed:
            flask.after_this_request(lambda response: seen.append(1) or response)  # type: ignore[func-returns-value]
        return handler()

    served = call(responses, observing)
    assert served.status_code == status
    if body is not None:
        assert (served.content, len(seen)) == (body, observed)
    if status == 302:
        assert (served.headers["location"], served.headers["content-length"]) == ("/x", "0")


def test_headers_beside_a_response_of_flask_are_added(call: Callable[..., Any]) -> None:
    served = call(FLASK, lambda: (flask.jsonify(SECRET), 201, {"X-Word": "a"}))
    assert (served.status_code, served.headers["x-word"]) == (201, "a")


FILE = f"'200': {{description: '', content: {{text/plain: {TEXT}}}}}"


def test_files_have_a_name_and_ranges(call: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "ä.txt"
    file.write_bytes(b"0123456789" * 20000)

    def handler() -> Any:
        return flask.send_file(file, as_attachment=True)

    served = call(FILE, handler)
    assert (served.status_code, served.content) == (200, file.read_bytes())
    assert served.headers["content-length"] == "200000"
    assert served.headers["content-disposition"] == "attachment; filename=a.txt; filename*=UTF-8''%C3%A4.txt"
    part = call(FILE, handler, range="bytes=5-7")
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"567", "bytes 5-7/200000")
    same = call(FILE, handler, **{"if-none-match": served.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert call(FILE, handler, range="bytes=300000-").status_code == 416


@pytest.mark.parametrize(
    "result", [SECRET, (SECRET, 201), lambda: flask.jsonify(SECRET), lambda: flask.Response(iter(["{}"]))]
)
def test_head_has_the_headers_of_get_without_a_body(call: Callable[..., Any], result: object) -> None:
    declared = FLASK.replace("application/json", "'*/*'")
    head = call(declared, result, "HEAD")
    assert (head.status_code, head.content) == (call(declared, result).status_code, b"")


def test_response_headers_with_content_and_links_do_not_break_the_start(call: Callable[..., Any]) -> None:
    links = "links: {next: {operationId: listThings}}"
    headers = "headers: {X-A: {content: {application/json: {schema: {type: integer}}}}}"
    assert call(f"'200': {{description: '', {headers}, {links}, {JSON}}}", SECRET).json() == {"id": "1"}


def test_a_range_of_media_types_is_negotiated(call: Callable[..., Any]) -> None:
    media = response(f"text/csv: {TEXT}", f"application/*+json: {{schema: {THING}}}")
    sent = call(media, lambda: ({"id": "1"}, {"Content-Type": "application/hal+json"}), accept="application/hal+json")
    assert (sent.status_code, sent.headers["content-type"]) == (200, "application/hal+json")
    assert call(media, lambda: {"id": "1"}, accept="application/json").status_code == 406


@pytest.mark.parametrize("result", [iter([1]), io.BytesIO(b"{}")])
def test_a_stream_is_not_an_object(call: Callable[..., Any], result: Any) -> None:
    assert (
        call(response("application/json: {schema: {type: object, properties: {a: {}}}}"), lambda: result).status_code
        == 500
    )


@pytest.mark.parametrize("part", ["", "bytes=0-5", "bytes=0-"])
def test_json_files_have_the_declared_members(call: Callable[..., Any], tmp_path: Path, part: str) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"a": 1, "password": 2}')
    declared = response("application/json: {schema: {type: object, properties: {a: {}}}}")
    sent = call(declared, lambda: flask.send_file(file), **({"range": part} if part else {}))
    assert (sent.status_code, sent.content) == (200, b'{"a":1}')
    assert {"accept-ranges", "content-range"}.isdisjoint(sent.headers)


def test_rows_may_have_a_member_named_read(call: Callable[..., Any]) -> None:
    declared = response("application/json: {schema: {type: object, properties: {read: {type: boolean}}}}")
    assert call(declared, SimpleNamespace(read=True)).json() == {"read": True}


def test_a_text_may_have_the_format_of_a_shared_schema(engine: Engine, call: Callable[..., Any]) -> None:
    engine.write(f"{SHARED}  schemas: {{Day: {{type: string, format: date}}}}\n", "openapi.yaml")
    assert call(response("text/plain: {schema: {$ref: '#/components/schemas/Day'}}"), NOON).text == "2026-01-31"
