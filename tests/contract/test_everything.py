"""A contract with every construct starts, serves and passes Schemathesis, as OpenAPI 3.0 and 3.1."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.support.echoing import CREDENTIAL, Everything

BEARER = {"Authorization": f"Bearer {CREDENTIAL}"}
BASIC = ("user", CREDENTIAL)
ID = "019b2c9e-6d5c-7c3a-9d4e-0f6f3a1b2c3d"
STYLES = {"list": ["b", "c"], "exploded": ["b", "c"], "object": {"R": 1, "G": 2}, "members": {"R": 1, "G": 2}}
FORM = {"a": "1", "list": ["b", "c"], "csv": "b,c", "deep[R]": "1", "deep[G]": "2"}


@pytest.fixture
def client(everything: Everything) -> Iterator[TestClient]:
    with TestClient(everything.start(), base_url="http://127.0.0.1/api/v2", follow_redirects=False) as client:
        yield client


@pytest.mark.slow
def test_every_construct_passes_schemathesis(
    everything: Everything, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    # The contract has five times as many operations as Charter's own.
    everything.fuzz(tmp_path, examples=max(1, pytestconfig.getoption("examples") // 5), seed=1)


@pytest.mark.parametrize(
    ("path", "arguments"),
    [
        (
            "/path/1.5/b,c/R,1,G,2/R=1,G=2",
            {"simple": 1.5, "list": ["b", "c"], "object": {"R": 1, "G": 2}, "exploded": {"R": 1, "G": 2}},
        ),
        (
            "/label/.true/.b,c/.b.c/.R,1,G,2/.R=1.G=2",
            {"one": True, **STYLES},
        ),
        (
            "/matrix/;one=5/;list=b,c/;exploded=b;exploded=c/;object=R,1,G,2/;R=1;G=2",
            {"one": 5, **STYLES},
        ),
        ("/files/b.csv", {"name": "b", "ext": "csv"}),
        ("/content/5", {"json": 5}),
        ("/referenced/bcd", {"word": "bcd"}),
        ("/exploded?R=1&G=2", {"rgb": {"R": 1, "G": 2}}),
        ("/open?limit=2&x=1&y=2", {"limit": 2, "others": {"x": 1, "y": 2}}),
        (
            "/styles?form=b&form=c&comma=b,c&space=b%20c&pipe=b%7Cc&deep[R]=1&nested[rgb][R]=1&nested[word]=b&flat=R,1,G,2&spaced=b&spaced=c&piped=b",
            {"form": ["b", "c"], "comma": ["b", "c"], "space": ["b", "c"], "pipe": ["b", "c"], "deep": {"R": 1},
             "nested": {"rgb": {"R": 1}, "word": "b"},
             "flat": {"R": 1, "G": 2}, "spaced": ["b", "c"], "piped": ["b"]},
        ),
    ],
)  # fmt: skip
def test_parameters_arrive_as_they_were_sent(client: TestClient, path: str, arguments: dict[str, Any]) -> None:
    assert client.get(path).json() == arguments


def test_parameters_of_the_query_arrive_with_their_types(client: TestClient) -> None:
    query = {
        "page-size": 5, "filter[name]": "b", "body": "c", "from": "2026-01-31", "until": "2026-01-31T12:00:00Z",
        "user": ID, "flag": "true", "cost": 19.99, "country": "NO", "even": 4, "price<": 1.5, "either": "true",
        "empty": "", "free": "/?:@", "json": '{"R": 1}', "text": "bcd",
    }  # fmt: skip
    assert client.get("/query", params=query).json() == {
        "page_size": 5, "filter_name": "b", "query_body": "c", "query_from": "2026-01-31",
        "until": "2026-01-31T12:00:00.000Z", "user": ID, "flag": True, "cost": 19.99, "country": "NO", "even": 4,
        "price_lt": 1.5, "either": True, "empty": "", "free": "/?:@", "json": {"R": 1}, "text": "bcd",
    }  # fmt: skip


def test_headers_and_cookies_arrive_with_their_types(client: TestClient) -> None:
    headers = {"X-Number": "5", "X-Words": "b,c", "X-Rgb": "R,1,G,2", "X-Exploded": "R=1,G=2", "X-Flag": "false"}
    assert client.get("/headers", headers={**headers, "X-Id": ID, "X-Json": '{"R": 1}'}).json() == {
        "x_number": 5, "x_words": ["b", "c"], "x_rgb": {"R": 1, "G": 2}, "x_exploded": {"R": 1, "G": 2},
        "x_flag": False, "x_id": ID, "x_json": {"R": 1},
    }  # fmt: skip
    cookies = {"Cookie": "session-id=bcd; number=5; words=b,c; rgb=R,1,G,2"}
    assert client.get("/cookies", headers=cookies).json() == {
        "session_id": "bcd", "number": 5, "words": ["b", "c"], "rgb": {"R": 1, "G": 2}
    }  # fmt: skip


def test_bodies_arrive_as_they_were_sent(client: TestClient) -> None:
    assert client.post("/bodies/json", json={"R": 1}).json() == {"body": {"R": 1}}
    assert client.put("/bodies/json").json() == {"body": None}
    patch = {"content": '{"a": 1, "x": 2}', "headers": {"Content-Type": "application/merge-patch+json"}}
    assert client.patch("/bodies/json", **patch).json() == {"body": {"a": 1, "x": 2}}
    form = {"a": 1, "list": ["b", "c"], "csv": ["b", "c"], "deep": {"R": 1, "G": 2}}
    assert client.post("/bodies/form", data=FORM).json() == {"body": form}
    assert client.post("/bodies/text", content="abc", headers={"Content-Type": "text/plain"}).json() == {"body": "abc"}


def test_files_arrive_as_they_were_sent(client: TestClient) -> None:
    data, image = {"name": "b", "age": "5"}, b"\x89PNG 0123"
    files = {"file": ("ä.png", image, "image/png"), "rgb": (None, '{"R": 1}', "application/json")}
    shown = {"type": "image/png", "size": len(image), "sha256": sha256(image).hexdigest()}
    assert client.post("/bodies/multipart", data=data, files=files).json() == {
        "body": {"name": "b", "age": 5, "rgb": {"R": 1}, "file": {"filename": "ä.png", **shown}}
    }
    sent = client.post("/bodies/text", content=image, headers={"Content-Type": "application/octet-stream"})
    assert sent.json() == {"body": {**shown, "filename": None, "type": "application/octet-stream"}}


@pytest.mark.parametrize(
    ("accept", "media_type", "body"),
    [
        ("application/json", "application/json", b'["b","cd"]'),
        ("application/vnd.words+json", "application/vnd.words+json", b'["b","cd"]'),
        ("text/csv", "text/csv; charset=utf-8", b"a,b\r\n"),
        ("application/x-ndjson", "application/x-ndjson", b'{"R":1,"G":2}\n' * 2),
        ("image/png", "image/png", b"\x00\xff"),
    ],
)
def test_the_media_type_is_negotiated(client: TestClient, accept: str, media_type: str, body: bytes) -> None:
    response = client.get("/responses/media", headers={"Accept": accept})
    assert (response.headers["content-type"], response.content) == (media_type, body)


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/responses/statuses?status=200", 200, b"1"),
        ("/responses/statuses?status=201", 201, b'"made"'),
        ("/responses/statuses?status=204", 204, b""),
        ("/responses/statuses?status=303", 303, b""),
        ("/responses/default", 200, b'"default"'),
        ("/responses/redirect", 302, b""),
        ("/responses/text", 200, "ä\n".encode()),
        ("/responses/rows", 200, b'{"R":1,"G":2}\n' * 3),
        ("/responses/any", 200, b"GIF89a"),
        ("/responses/file", 200, b"%PDF"),
        ("/responses/flask", 200, b'{"R":1,"G":2}'),
    ],
)
def test_responses_of_every_kind_are_sent(client: TestClient, path: str, status: int, body: bytes) -> None:
    response = client.get(path)
    assert (response.status_code, response.content) == (status, body)


def test_values_of_every_type_are_serialized(client: TestClient) -> None:
    response = client.get("/responses/headers")
    assert response.json() == {
        "date": "2026-01-31", "time": "12:30:00+00:00", "moment": "2026-01-31T12:00:00.000Z", "duration": "P1DT5S",
        "price": 19.99, "amount": "0.10", "id": "00000000-0000-0000-0000-000000000001", "bytes": "/wA=", "kind": "NO",
        "big": 2**70, "ratio": 0.5,
    }  # fmt: skip
    headers = {
        "X-Number": "5", "X-Price": "1.25", "X-Flag": "true", "X-Moment": "2026-01-31T12:00:00.000Z",
        "X-Words": "b,cd", "X-Rgb": "R,1,G,2", "X-Exploded": "R=1,G=2", "X-Json": '{"R": 1, "G": 2}',
        "Last-Modified": "Sat, 31 Jan 2026 12:00:00 GMT",
    }  # fmt: skip
    assert {name: response.headers[name] for name in headers} == headers
    assert "x-absent" not in response.headers


@pytest.mark.parametrize(
    ("name", "credential"),
    [
        ("bearer", {"headers": BEARER}),
        ("basic", {"auth": BASIC}),
        ("headerKey", {"headers": {"X-Key": CREDENTIAL}}),
        ("queryKey", {"params": {"key": CREDENTIAL}}),
        ("cookieKey", {"headers": {"Cookie": f"key={CREDENTIAL}"}}),
        ("oauth", {"headers": BEARER}),
        ("oidc", {"headers": BEARER}),
        ("scopes", {"headers": BEARER}),
        ("eitherScheme", {"auth": BASIC}),
        ("eitherScheme", {"params": {"key": CREDENTIAL}}),
        ("optionalScheme", {"headers": BEARER}),
    ],
)
def test_each_security_scheme_identifies_the_caller(client: TestClient, name: str, credential: dict[str, Any]) -> None:
    anonymous = client.get(f"/security/{name}")
    assert anonymous.status_code == (200 if name == "optionalScheme" else 401)
    assert client.get(f"/security/{name}", **credential).json() == {"identity": ["read", "write"]}


def test_two_schemes_are_both_required(client: TestClient) -> None:
    assert client.get("/security/bothSchemes", headers=BEARER).status_code == 401
    both = client.get("/security/bothSchemes", headers={**BEARER, "X-Key": CREDENTIAL})
    assert both.json() == {"identity": {"bearer": ["read", "write"], "header": ["read", "write"]}}


VALUES: list[tuple[str, Any, Any]] = [
    ("open", {"a": 1, "x": 2}, {"a": 1}),
    ("anymembers", {"a": 1, "x": [None]}, {"a": 1, "x": [None]}),
    ("map", {"x": 2**70}, {"x": 2**70}),
    ("composed", {"a": 1, "b": "c", "x": 2}, {"a": 1, "b": "c"}),
    ("either", {"b": "c", "x": 2}, {"b": "c"}),
    ("either", 5, 5),
    ("pet", {"kind": "cat", "lives": 9}, {"kind": "cat", "lives": 9}),
    ("tree", {"name": "b", "children": [{"name": "c"}]}, {"name": "b", "children": [{"name": "c"}]}),
    ("account", {"name": "b", "password": "x"}, {"id": 1, "name": "b"}),
    ("defaults", {}, {"size": 7, "inner": {"flag": True}}),
    ("numbers", {"price": 19.99}, {"price": 19.99}),
    ("texts", {"country": "NO", "digits": "12"}, {"country": "NO", "digits": "12"}),
    ("lists", [[1, 2], [3]], [[1, 2], [3]]),
    ("not", {"a": 3}, {"a": 3}),
]


@pytest.mark.parametrize(("name", "sent", "served"), VALUES)
def test_values_of_each_schema_make_a_round_trip(client: TestClient, name: str, sent: Any, served: Any) -> None:
    assert json.loads(client.post(f"/schemas/{name}", json=sent).content) == served


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("composed", {"b": "c"}),
        ("either", {"c": 1}),
        ("pet", {"kind": "dog", "lives": 9}),
        ("account", {"id": 1, "name": "b", "password": "x"}),
        ("numbers", {"price": 19.999}),
        ("texts", {"country": False}),
        ("texts", {"digits": "12\n"}),
        ("lists", [[1], [1]]),
        ("not", {"a": 1}),
        ("formats", {"even": 3}),
    ],
)
def test_invalid_values_of_each_schema_are_rejected(client: TestClient, name: str, sent: Any) -> None:
    assert client.post(f"/schemas/{name}", json=sent).status_code == 400
