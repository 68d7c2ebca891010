"""Request bodies of all media types."""

import asyncio
import json
import random
import tracemalloc
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.contract import ContractError
from tests.support.bodies import faults, part, post, send, serve
from tests.support.engine import Engine
from tests.support.problems import assert_problem
from tests.support.raw_http import RawConnection, raw_request
from tests.support.serving import serving

OBJECT = "{type: object, additionalProperties: false, properties: {a: {type: integer}, b: {type: string}}}"
BINARY = "{type: string, format: binary}"


@pytest.mark.parametrize(
    ("accepted", "sent"),
    [
        ("application/json", "application/json"),
        ("application/json; charset=utf-8", "Application/JSON"),
        ("application/merge-patch+json", "application/merge-patch+json"),
        ("application/*+json", "application/vnd.a+json"),
        ("application/*", "application/json"),
        ("'*/*'", "application/json; charset=utf8"),
        ("application/json; version=1", "application/json;charset=utf-8;VERSION=1"),
        ("application/json", "application/json; unknown=1"),
    ],
)
def test_every_media_type_of_json_is_parsed(engine: Engine, accepted: str, sent: str) -> None:
    serve(engine, f"{{{accepted}: {{schema: {OBJECT}}}}}")
    assert post(engine, b'{"a":1}', sent).json() == {"body": {"a": 1}}
    assert faults(post(engine, b'{"a":"x"}', sent)) == ["/body/a WRONG_TYPE"]
    assert post(engine, b"{}", "text/csv").status_code == 415


def test_the_content_type_chooses_the_schema(engine: Engine) -> None:
    serve(
        engine,
        f"{{application/json: {{schema: {OBJECT}}}, text/plain: {{schema: {{type: string, maxLength: 3}}}}, "
        "application/*: {schema: {type: string}}}",
    )
    assert post(engine, b'{"a":1}', "application/json").json() == {"body": {"a": 1}}
    assert post(engine, "äbc".encode(), "text/plain; charset=utf-8").json() == {"body": "äbc"}
    assert faults(post(engine, b"abcd", "text/plain")) == ["/body TOO_LONG"]
    assert post(engine, b"ab", "application/pdf").json() == {"body": [None, "application/pdf", 2, "ab"]}
    response = post(engine, b"ab", "image/png")
    assert (response.status_code, response.headers["accept"]) == (415, "application/json, text/plain, application/*")
    assert response.json()["detail"].startswith(
        "Send the header Content-Type: application/json or text/plain or application/* and"
    )


def test_parameters_of_a_media_type_choose_the_schema(engine: Engine) -> None:
    numbers = OBJECT.replace("string", "integer")
    profile = 'application/ld+json; profile="a;b"'
    serve(
        engine,
        f"{{application/json; version=1: {{schema: {OBJECT}}}, application/json; version=2: {{schema: {numbers}}}, "
        f"{profile}: {{schema: {OBJECT}}}, text/*: {{schema: {{type: string}}}}, text/csv; a=b: {{schema: {BINARY}}}}}",
    )
    text, number = b'{"b":"1"}', b'{"b":1}'
    assert post(engine, text, "application/json;other=3; VERSION=1").json() == {"body": {"b": "1"}}
    assert post(engine, number, 'application/json; charset=utf-8; version="2"').json() == {"body": {"b": 1}}
    assert faults(post(engine, text, "application/json; version=2")) == ["/body/b WRONG_TYPE"]
    assert post(engine, text, profile).json() == {"body": {"b": "1"}}
    assert post(engine, b"a", "text/csv; a=c").json() == {"body": "a"}
    assert post(engine, b"a", "text/csv; a=b").json() == {"body": [None, "text/csv", 1, "a"]}
    for other in ("application/json", "application/json; version=3", "application/ld+json; profile=a"):
        assert post(engine, text, other).status_code == 415
    for charset in ("utf-16", '"utf-16"', "utf-8; charset=utf-16", "utf-16; charset=utf-8"):
        assert post(engine, text, f"application/json; version=1; charset={charset}").status_code == 415


def test_only_spaces_and_tabs_surround_a_media_type(engine: Engine) -> None:
    serve(engine, f"{{'*/*': {{schema: {BINARY}}}, application/json: {{schema: {OBJECT}}}}}", required=False)
    assert post(engine, b'{"a":1}', "application/json\t").json() == {"body": {"a": 1}}
    with serving(engine.start()) as url, closing(RawConnection(url)) as connection:
        connection.send(raw_request("POST /x", "Content-Type: application/json\xa0", body=b"x"))
        assert json.loads(connection.read_response().body) == {"body": [None, "application/json\xa0", 1, "x"]}


@pytest.mark.parametrize("charset", ["latin-1", "utf-16"])
def test_texts_are_utf8(engine: Engine, charset: str) -> None:
    serve(engine, "{text/plain: {schema: {type: string}}}")
    assert post(engine, b"a", f"text/plain; charset={charset}").status_code == 415
    assert faults(post(engine, b"\xff", "text/plain")) == ["/body WRONG_FORMAT"]
    assert faults(post(engine, b"a\0", "text/plain")) == ["/body WRONG_FORMAT"]
    assert post(engine, b"a", "text/plain", **{"Content-Encoding": "gzip"}).status_code == 415


def test_bodies_may_be_optional(engine: Engine) -> None:
    for content in (f"{{application/json: {{schema: {OBJECT}}}}}", f"{{multipart/form-data: {{schema: {OBJECT}}}}}"):
        serve(engine, content, required=False)
        assert post(engine, b"", None).json() == {"body": None}
        serve(engine, content)
        assert faults(post(engine, b"", None)) == ["/body REQUIRED"]
    assert faults(post(engine, b"", "multipart/form-data; boundary=a")) == ["/body REQUIRED"]


FORM = """{application/x-www-form-urlencoded: {
  schema: {type: object, additionalProperties: false, required: [a], properties: {
    a: {type: integer}, b: {type: string, maxLength: 3}, list: {type: array, items: {type: integer}},
    csv: {type: array, items: {type: integer}}, json: {type: object, properties: {x: {type: integer}}},
    deep: {type: object, properties: {x: {type: integer}}}}},
  encoding: {csv: {explode: false}, deep: {style: deepObject, explode: true}}}}"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1&b=x+y", {"a": 1, "b": "x y"}),
        ("a=1&b=1", {"a": 1, "b": "1"}),
        ("a=1&list=1&list=2", {"a": 1, "list": [1, 2]}),
        ("a=1&csv=1,2", {"a": 1, "csv": [1, 2]}),
        ("a=1&json=%7B%22x%22:1%7D", {"a": 1, "json": {"x": 1}}),
        ("a=1&deep[x]=1", {"a": 1, "deep": {"x": 1}}),
    ],
)
def test_forms_have_the_types_of_their_schema(engine: Engine, text: str, value: object) -> None:
    serve(engine, FORM)
    response = post(engine, text, "application/x-www-form-urlencoded")
    assert (response.status_code, response.json()) == (200, {"body": value}), response.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["/body/a REQUIRED"]),
        ("a=x&b=long", ["/body/a WRONG_TYPE", "/body/b TOO_LONG"]),
        ("a=1&a=2", ["/body/a REPEATED"]),
        ("a=1&other=2", ["/body UNKNOWN"]),
        ("a=1&json={", ["/body/json WRONG_TYPE"]),
        ("a=1&deep[x]=y", ["/body/deep/x WRONG_TYPE"]),
        ("a=%FF", ["/body WRONG_FORMAT"]),
        ("a=1&b=%00", ["/body/b WRONG_FORMAT"]),
    ],
)
def test_invalid_forms_are_rejected(engine: Engine, text: str, expected: list[str]) -> None:
    serve(engine, FORM)
    assert faults(post(engine, text, "application/x-www-form-urlencoded")) == expected


MULTIPART = f"""{{multipart/form-data: {{
  schema: {{type: object, additionalProperties: false, required: [name], properties: {{
    name: {{type: string, maxLength: 5}}, age: {{type: integer}}, tags: {{type: array, items: {{type: string}}}},
    data: {{type: object, properties: {{x: {{type: integer}}}}}}, file: {{type: string, format: binary, maxLength: 9}},
    files: {{type: array, maxItems: 2, items: {BINARY}}}, picture: {BINARY}}}}},
  encoding: {{picture: {{contentType: 'image/png, image/jpeg'}}}}}}}}"""


NAME = part("name", "Ann")


@pytest.mark.parametrize(
    ("parts", "value"),
    [
        ([part("age", "7")], {"age": 7}),
        ([part("tags", "1"), part("tags", "2")], {"tags": ["1", "2"]}),
        ([part("tags", '["1"]', None, "application/json")], {"tags": ["1"]}),
        ([part("data", '{"x":1}')], {"data": {"x": 1}}),
        ([part("data", '{"x":1}', "a.json", "application/json")], {"data": {"x": 1}}),
        ([part("file", "abc", "a.txt", "text/csv")], {"file": ["a.txt", "text/csv", 3, "abc"]}),
        ([part("file", "abc")], {"file": [None, "application/octet-stream", 3, "abc"]}),
        ([part("file", "", "a")], {"file": ["a", "application/octet-stream", 0, ""]}),
        (
            [part("files", "a\r\nb", "a", "a/b"), part("files", "-b-", "b", "a/b")],
            {"files": [["a", "a/b", 4, "a\r\nb"], ["b", "a/b", 3, "-b-"]]},
        ),
        ([part("picture", "x", "a.png", "image/png")], {"picture": ["a.png", "image/png", 1, "x"]}),
        ([part("picture", "x", "a.jpg", "image/jpeg")], {"picture": ["a.jpg", "image/jpeg", 1, "x"]}),
    ],
)
def test_parts_have_the_types_of_their_schema(engine: Engine, parts: list[bytes], value: dict[str, Any]) -> None:
    serve(engine, MULTIPART)
    response = send(engine, NAME, *parts)
    assert (response.status_code, response.json()) == (200, {"body": {"name": "Ann", **value}}), response.text


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], ["/body/name REQUIRED"]),
        ([NAME, NAME], ["/body/name REPEATED"]),
        ([part("name", "longer"), part("age", "x")], ["/body/age WRONG_TYPE", "/body/name TOO_LONG"]),
        ([NAME, part("other", "x")], ["/body UNKNOWN"]),
        ([NAME, part("other", "x", "a")], ["/body UNKNOWN"]),
        ([NAME, part("file", "0123456789", "a")], ["/body/file TOO_LONG"]),
        ([NAME, *[part("files", "x", "a")] * 3], ["/body/files TOO_MANY"]),
        ([NAME, part("picture", "x", "a.gif", "image/gif")], ["/body/picture NOT_ALLOWED"]),
        ([NAME, part("picture", "x", "a.png")], ["/body/picture NOT_ALLOWED"]),
        ([NAME, part("data", "{", None, "application/json")], ["/body/data MALFORMED_JSON"]),
        ([part("name", "a\0")], ["/body/name WRONG_FORMAT"]),
        ([part("name", "a", None, "text/plain; charset=latin-1")], ["/body/name WRONG_FORMAT"]),
    ],
)
def test_invalid_parts_are_rejected(engine: Engine, parts: list[bytes], expected: list[str]) -> None:
    serve(engine, MULTIPART)
    assert faults(send(engine, *parts)) == expected


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", "multipart/form-data; boundary=b"),
        (NAME, "multipart/form-data; boundary=b"),
        (NAME + b"--b--", "multipart/form-data"),
        (NAME + b"--b--", "multipart/form-data; boundary=c"),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", "multipart/form-data; boundary=b"),
        (b"--b\r\nContent-Type: a/b\r\n\r\nx\r\n--b--", "multipart/form-data; boundary=b"),
        (b"--b\r\n\xff: a\r\n\r\nx\r\n--b--", "multipart/form-data; boundary=b"),
    ],
)
def test_malformed_forms_are_rejected(engine: Engine, content: bytes, content_type: str) -> None:
    serve(engine, MULTIPART)
    expected = ["/body WRONG_FORMAT"] if content else ["/body REQUIRED"]
    assert faults(post(engine, content, content_type)) == expected


@pytest.mark.slow
def test_mutated_forms_never_fail_on_the_server(engine: Engine) -> None:
    serve(engine, MULTIPART)
    whole = NAME + part("file", "abc", "a.txt", "text/csv") + part("data", '{"x":1}') + b"--b--\r\n"
    chance = random.Random(17)  # noqa: S311 - not used for security
    with TestClient(engine.start()) as client:
        for _ in range(300):
            body = bytearray(whole)
            for _ in range(chance.randint(1, 4)):
                start = chance.randrange(len(body))
                body[start : start + chance.randint(0, 3)] = chance.choice(
                    [b"", b"\r\n", b"--b", b"\xff", b'"', b";", b":"]
                )
            response = client.post(
                "/x", content=bytes(body), headers={"Content-Type": "multipart/form-data; boundary=b"}
            )
            assert response.status_code in {200, 400}, bytes(body)


MEGABYTE = 1_000_000


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=b", "application/octet-stream"])
def test_uploads_need_little_memory(engine: Engine, content_type: str) -> None:
    serve(
        engine,
        f"{MULTIPART.replace(', maxLength: 9', '')[:-1]}, application/octet-stream: {{schema: {BINARY}}}}}",
        f"x-body-bytes: {30 * MEGABYTE}, ",
    )
    sizes = []

    def list_things(body: Any) -> dict[str, Any]:
        file = body["file"] if isinstance(body, dict) else body
        with file.open() as reader:
            sizes.append(sum(len(chunk) for chunk in iter(partial(reader.read, 100_000), b"")))
        return {}

    engine.handlers.list_things = list_things  # type: ignore[attr-defined]
    begin, end = NAME + part("file", "", "a", "a/b")[:-2], b"\r\n--b--"
    chunks = [b"x" * 50_000] * (20 * MEGABYTE // 50_000)
    messages = [begin, *chunks, end] if "multipart" in content_type else chunks
    app = engine.start()
    tracemalloc.start()
    try:
        status = asyncio.run(upload(app, messages, content_type))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (status, sizes) == (200, [20 * MEGABYTE])
    assert peak < 5 * MEGABYTE


async def upload(app: Any, chunks: list[bytes], content_type: str) -> int:
    """Send a request in chunks to the application, and return the status."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    left = iter([*messages, {"type": "http.request"}])
    statuses = []

    async def receive() -> dict[str, Any]:
        return next(left)

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    headers = [(b"host", b"a"), (b"content-type", content_type.encode()), (b"transfer-encoding", b"chunked")]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http"}
    path = {"path": "/x", "raw_path": b"/x", "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1)}
    await app({**scope, **path}, receive, send)
    return int(statuses[0])


def test_files_over_the_limit_are_rejected(engine: Engine) -> None:
    serve(engine, MULTIPART, "x-body-bytes: 1000, ")
    big = NAME + part("file", "x" * 2000, "a") + b"--b--"
    assert post(engine, big, "multipart/form-data; boundary=b").status_code == 413
    assert post(engine, iter([big]), "multipart/form-data; boundary=b").status_code == 413


def test_texts_of_forms_stay_small(engine: Engine) -> None:
    serve(engine, MULTIPART, "x-body-bytes: 30000000, ")
    for parts, limit in ([part("name", "x" * 2_000_000)], "1048576 bytes"), ([part("tags", "x")] * 1001, "1000 parts"):
        response = send(engine, *parts)
        assert_problem(response, 413, "BODY_TOO_LARGE")
        assert response.json()["detail"] == f"The body is larger than {limit}."
    assert send(engine, NAME, *[part("tags", "x")] * 999).status_code == 200


def test_forms_have_few_pairs(engine: Engine) -> None:
    form = "application/x-www-form-urlencoded"
    serve(
        engine,
        f"{{{form}: {{schema: {{type: object, additionalProperties: {{type: string}}}}}}}}",
        "x-body-bytes: 30000, ",
    )
    body = "&".join(f"name{number}=x" for number in range(1001))
    response = post(engine, body, form)
    assert_problem(response, 413, "BODY_TOO_LARGE")
    assert response.json()["detail"] == "The body is larger than 1000 pairs."
    assert post(engine, body.rpartition("&")[0], form).status_code == 200


def test_headers_of_parts_stay_small(engine: Engine) -> None:
    serve(engine, MULTIPART, "x-body-bytes: 30000000, ")
    # The headers may end in the same chunk of 64 KiB, or never.
    for size, status in ((15_000, 200), (20_000, 413), (100_000, 413)):
        assert send(engine, NAME, part("file", "x", "a", "a/b; c=" + "d" * size)).status_code == status
    response = send(engine, NAME, part("file", "x", "a", "a/b; c=" + "d" * 20_000))
    assert response.json()["detail"] == "The header section of a part is larger than 16384 bytes."
    many = [part("files", "x", "a" * 12_000)] * 100
    assert send(engine, NAME, *many).status_code == 413


@pytest.mark.parametrize("header", ['name="file"; filename="a\0"', "name=file; filename*=utf-8''%00"])
def test_names_of_files_have_no_nul(engine: Engine, header: str) -> None:
    serve(engine, MULTIPART)
    body = f"--b\r\nContent-Disposition: form-data; {header}\r\n\r\nx\r\n".encode()
    assert faults(send(engine, NAME, body)) == ["/body WRONG_FORMAT"]


def test_files_are_not_read_without_authentication(engine: Engine) -> None:
    serve(engine, MULTIPART, "security: [{bearer: []}], ")
    response = send(engine, b"malformed")
    assert (response.status_code, response.headers["connection"]) == (401, "close")


def test_a_body_may_be_a_file(engine: Engine) -> None:
    serve(engine, "{application/octet-stream: {schema: {type: string, format: binary, maxLength: 3}}}")
    assert post(engine, b"abc", "application/octet-stream").json() == {
        "body": [None, "application/octet-stream", 3, "abc"]
    }
    assert faults(post(engine, b"abcd", "application/octet-stream")) == ["/body TOO_LONG"]
    assert post(engine, b"", "application/octet-stream").json() == {"body": [None, "application/octet-stream", 0, ""]}
    assert faults(post(engine, b"", None)) == ["/body REQUIRED"]


def test_faults_of_files_count_bytes(engine: Engine) -> None:
    file = "{type: string, format: binary, minLength: 1, maxLength: 3}"
    form = f"{{type: object, properties: {{file: {file}}}}}"
    serve(
        engine, f"{{image/png: {{schema: {file}}}, multipart/form-data: {{schema: {form}}}}}", "x-body-bytes: 99999, "
    )
    responses = [post(engine, b"abcd", "image/png"), send(engine, part("file", "abcd", "a"))]
    assert [response.json()["errors"][0]["detail"] for response in responses] == ["Must be at most 3 bytes."] * 2
    response = send(engine, part("file", "", "a"))
    assert response.json()["errors"][0]["detail"] == "Must be at least 1 byte."


@pytest.mark.parametrize("declared", ["text/csv", "text/*"])
def test_text_of_the_format_binary_is_a_file(engine: Engine, declared: str) -> None:
    serve(engine, f"{{{declared}: {{schema: {BINARY}}}}}")
    sent = post(engine, b"a\0", "text/csv; charset=utf-16")
    assert sent.json() == {"body": [None, "text/csv", 2, "a\0"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{{application/xml: {{schema: {OBJECT}}}}}", "application/xml: a binary body must have a schema of the type"),
        (f"{{text/plain: {{schema: {OBJECT}}}}}", "text/plain: a text body must have the schema of a text"),
        (f"{{multipart/mixed: {{schema: {OBJECT}}}}}", "multipart/mixed: a binary body must have a schema of the type"),
        ("{json: {}}", "'json' is not a media type"),
    ],
)
def test_bodies_that_cannot_be_read_prevent_the_start(engine: Engine, content: str, message: str) -> None:
    serve(engine, content)
    with pytest.raises(ContractError, match=f": {message}"):
        engine.start()
