"""The places, types and styles of parameters (OpenAPI, Parameter Object)."""

import random
from copy import deepcopy
from typing import Any

import pytest
from starlette.testclient import TestClient

from api import contract
from tests.support.engine import ECHO, Engine, document

COLORS = "{type: array, items: {type: string}}"
NUMBERS = "{type: array, items: {type: integer}, maxItems: 3}"
RGB = "{type: object, additionalProperties: false, properties: {R: {type: integer}, G: {type: integer}}}"
OPEN = "{type: object, properties: {R: {type: integer}}, additionalProperties: {type: integer}}"
WORDS = "{type: object, additionalProperties: {type: string}}"
FILTER = """{type: object, additionalProperties: false, properties: {
  price: {type: object, properties: {gte: {type: number}, lt: {type: number}}},
  tags: {type: array, items: {type: string}}, name: {type: string}}}"""


def parameter(place: str, schema: str, more: str = "", name: str = "color") -> str:
    """Return a Parameter Object."""
    required = "required: true, " if place == "path" else ""
    return f"{{name: '{name}', in: {place}, {required}{more}{', ' if more else ''}schema: {schema}}}"


def echo(engine: Engine, *parameters: str, path: str = "/x") -> None:
    """Serve GET `path` with these parameters. The handler returns the value of `color`, and its type."""
    engine.write(
        document(f"{{tags: [a], operationId: listThings, parameters: [{', '.join(parameters)}], {ECHO}}}", path)
    )
    engine.handlers.list_things = lambda color: {"value": color}  # type: ignore[attr-defined]


def faults(response: Any) -> list[str]:
    assert response.status_code == 400, response.text
    return [f"{fault['pointer']} {fault['code']}" for fault in response.json()["errors"]]


@pytest.mark.parametrize(
    ("more", "schema", "query", "value"),
    [
        ("", COLORS, "color=blue&color=black", ["blue", "black"]),
        ("", COLORS, "color=a,b", ["a,b"]),
        ("", "{}", "color=a&color=b", ["a", "b"]),
        ("", "{maxItems: 2}", "color=a&color=b", ["a", "b"]),
        ("", COLORS, "color=", [""]),
        ("explode: false", COLORS, "color=blue,black", ["blue", "black"]),
        ("explode: false", COLORS, "color=blue%2Cblack", ["blue", "black"]),
        ("explode: false", COLORS, "color=a%2Cb,c", ["a,b", "c"]),
        ("explode: false", COLORS, "color=", []),
        ("explode: false", NUMBERS, "color=1,-2", [1, -2]),
        ("style: spaceDelimited", COLORS, "color=blue%20black+brown", ["blue", "black", "brown"]),
        ("style: pipeDelimited", COLORS, "color=blue%7Cblack", ["blue", "black"]),
        ("style: pipeDelimited", COLORS, "color=a%7Cb|c", ["a|b", "c"]),
        ("style: pipeDelimited, explode: true", COLORS, "color=a&color=b", ["a", "b"]),
        ("", RGB, "R=100&G=200", {"R": 100, "G": 200}),
        ("", OPEN, "R=100&more=1", {"R": 100, "more": 1}),
        ("explode: false", RGB, "color=R,100,G,200", {"R": 100, "G": 200}),
        ("style: spaceDelimited", RGB, "color=R%20100%20G%20200", {"R": 100, "G": 200}),
        ("style: pipeDelimited", RGB, "color=R|100|G|200", {"R": 100, "G": 200}),
        ("style: deepObject, explode: true", RGB, "color[R]=100&color%5BG%5D=200", {"R": 100, "G": 200}),
        (
            "style: deepObject",
            FILTER,
            "color[price][gte]=1.5&color[tags][]=a&color[tags][]=b&color[name]=7",
            {"price": {"gte": 1.5}, "tags": ["a", "b"], "name": "7"},
        ),
        ("style: deepObject", FILTER, "color[tags][1]=b&color[tags][0]=a", {"tags": ["a", "b"]}),
        ("style: deepObject", COLORS, "color[]=a", ["a"]),
        ("style: deepObject", "{anyOf: [{type: integer}, " + RGB + "]}", "color=5", 5),
        ("style: deepObject", "{anyOf: [{type: integer}, " + RGB + "]}", "color[R]=5", {"R": 5}),
        ("", "{type: number}", "color=-1.5e3", -1500.0),
        ("", "{type: number}", "color=7", 7),
        ("", "{type: integer, nullable: true}", "color=null", None),
        ("", "{type: string, nullable: true}", "color=null", None),
        ("", "{oneOf: [{type: integer}, {type: string, maxLength: 3}]}", "color=12", 12),
        ("", "{oneOf: [{type: integer, maximum: 5}, {type: string, maxLength: 3}]}", "color=12", "12"),
        ("", "{allOf: [{type: integer}, {minimum: 3}]}", "color=12", 12),
        ("", "{enum: [1, 2]}", "color=2", 2),
        ("", "{}", "color=2", "2"),
        ("allowReserved: true", "{type: string}", "color=a/b?c:d@e", "a/b?c:d@e"),
        ("allowEmptyValue: true", "{type: boolean}", "color", ""),
        ("allowEmptyValue: true", "{type: boolean}", "color=true", True),
        ("", "{type: array, items: {type: object}}", "color=%7B%22a%22:1%7D", [{"a": 1}]),
        ("", "{type: integer, default: 3}", "", 3),
        ("", "{type: array, items: {type: integer}, default: [1]}", "", [1]),
    ],
)
def test_query_parameters_have_every_style(engine: Engine, more: str, schema: str, query: str, value: Any) -> None:
    echo(engine, parameter("query", schema, more))
    response = engine.request(f"/x?{query}")
    assert (response.status_code, response.json()) == (200, {"value": value}), response.text


@pytest.mark.parametrize(
    ("more", "schema", "query", "expected"),
    [
        ("", NUMBERS, "color=1&color=x&color=y", ["/query/color/1 WRONG_TYPE", "/query/color/2 WRONG_TYPE"]),
        ("explode: false", NUMBERS, "color=1,x", ["/query/color/1 WRONG_TYPE"]),
        ("explode: false", NUMBERS, "color=1,2,3,4", ["/query/color TOO_MANY"]),
        ("explode: false", NUMBERS, "color=1&color=2", ["/query/color REPEATED"]),
        ("", RGB, "R=x&B=1", ["/query UNKNOWN", "/query/color/R WRONG_TYPE"]),
        ("", RGB, "R=1&R=2", ["/query/color REPEATED"]),
        ("", OPEN, "R=1&more=x", ["/query/color/more WRONG_TYPE"]),
        ("explode: false", RGB, "color=R,100,G", ["/query/color WRONG_FORMAT"]),
        ("explode: false", RGB, "color=R,1,R,2", ["/query/color REPEATED"]),
        ("explode: false", RGB, "color=B,1", ["/query/color UNKNOWN"]),
        ("style: deepObject", RGB, "color[R]=1&color[R]=2", ["/query/color REPEATED"]),
        ("style: deepObject", RGB, "color[R]=1&color[R][a]=2", ["/query/color REPEATED"]),
        ("style: deepObject", RGB, "color=1", ["/query/color WRONG_TYPE"]),
        ("style: deepObject", RGB, "color[R]=1&color[R=2", ["/query UNKNOWN"]),
        ("style: deepObject", RGB, f"color[R]{'[a]' * 40}=1", ["/query/color WRONG_FORMAT"]),
        ("", "{type: number}", "color=1.", ["/query/color WRONG_TYPE"]),
        ("", "{type: number}", "color=1e999", ["/query/color WRONG_TYPE"]),
        ("", "{type: integer, nullable: true}", "color=", ["/query/color WRONG_TYPE"]),
        ("", COLORS, "color=%00", ["/query/color WRONG_FORMAT"]),
        ("", "{type: boolean}", "color", ["/query/color WRONG_TYPE"]),
        ("required: true", RGB, "", ["/query/color REQUIRED"]),
    ],
)
def test_invalid_styles_are_rejected(engine: Engine, more: str, schema: str, query: str, expected: list[str]) -> None:
    echo(engine, parameter("query", schema, more))
    assert faults(engine.request(f"/x?{query}")) == expected


@pytest.mark.parametrize(
    ("more", "schema", "text", "value"),
    [
        ("", "{type: number}", "-1.5", -1.5),
        ("", COLORS, "blue,black", ["blue", "black"]),
        ("explode: true", COLORS, "blue,black", ["blue", "black"]),
        ("", RGB, "R,100,G,200", {"R": 100, "G": 200}),
        ("explode: true", RGB, "R=100,G=200", {"R": 100, "G": 200}),
        ("style: label", "{type: integer}", ".5", 5),
        ("style: label", COLORS, ".blue,black", ["blue", "black"]),
        ("style: label, explode: true", COLORS, ".blue.black", ["blue", "black"]),
        ("style: label", RGB, ".R,100,G,200", {"R": 100, "G": 200}),
        ("style: label, explode: true", RGB, ".R=100.G=200", {"R": 100, "G": 200}),
        ("style: matrix", "{type: integer}", ";color=5", 5),
        ("style: matrix", "{type: string}", ";color", ""),
        ("style: matrix", COLORS, ";color=blue,black", ["blue", "black"]),
        ("style: matrix, explode: true", COLORS, ";color=blue;color=black", ["blue", "black"]),
        ("style: matrix", RGB, ";color=R,100,G,200", {"R": 100, "G": 200}),
        ("style: matrix, explode: true", RGB, ";R=100;G=200", {"R": 100, "G": 200}),
        ("", COLORS, "a%2Cb,c+d", ["a,b", "c+d"]),
        ("", COLORS, "a%2Cb", ["a", "b"]),
        ("", WORDS, "a%2Cb,c", {"a,b": "c"}),
        ("explode: true", WORDS, "a=b%2C%3D%25,c%3Dd=", {"a": "b,=%", "c=d": ""}),
        ("style: label", COLORS, ".a%2Cb,c", ["a,b", "c"]),
        ("style: matrix", COLORS, ";color=a%2Cb,c", ["a,b", "c"]),
        ("style: matrix, explode: true", COLORS, ";color=a%3Bb;color=c", ["a;b", "c"]),
        ("style: matrix, explode: true", WORDS, ";a=b%3Bc;d", {"a": "b;c", "d": ""}),
    ],
)
def test_path_parameters_have_every_style(engine: Engine, more: str, schema: str, text: str, value: Any) -> None:
    echo(engine, parameter("path", schema, more), path="/x/{color}")
    response = engine.request(f"/x/{text}")
    assert (response.status_code, response.json()) == (200, {"value": value}), response.text


@pytest.mark.parametrize("text", ["1,2-3", "1%2C2-3", "1,2%2D3", "%31,2-3"])
def test_fixed_texts_of_the_path_may_be_encoded(engine: Engine, text: str) -> None:
    low, high = (parameter("path", NUMBERS, name=name) for name in ("low", "high"))
    echo(engine, low, high, path="/x/{low}-{high}")
    engine.handlers.list_things = lambda low, high: {"value": [low, high]}  # type: ignore[attr-defined]
    assert engine.request(f"/x/{text}").json() == {"value": [[1, 2], [3]]}


@pytest.mark.parametrize(
    ("more", "schema", "text", "fault"),
    [
        ("style: label", "{type: integer}", "5", "WRONG_FORMAT"),
        ("style: matrix", "{type: integer}", ";colour=5", "WRONG_FORMAT"),
        ("style: matrix, explode: true", COLORS, ";color=blue;black", "WRONG_FORMAT"),
        ("style: label", COLORS, "blue", "WRONG_FORMAT"),
        ("", RGB, "R", "WRONG_FORMAT"),
        ("explode: true", WORDS, "R", "WRONG_FORMAT"),
        ("style: label, explode: true", WORDS, ".R", "WRONG_FORMAT"),
        ("style: matrix", COLORS, ";colorful", "WRONG_FORMAT"),
    ],
)
def test_invalid_path_styles_are_rejected(engine: Engine, more: str, schema: str, text: str, fault: str) -> None:
    echo(engine, parameter("path", schema, more), path="/x/{color}")
    assert faults(engine.request(f"/x/{text}")) == [f"/path/color {fault}"]


@pytest.mark.parametrize(
    ("more", "schema", "lines", "value"),
    [
        ("", "{type: integer}", ["5"], 5),
        ("", COLORS, ["blue, black"], ["blue", "black"]),
        ("", COLORS, ["blue", "black,brown"], ["blue", "black", "brown"]),
        ("", RGB, ["R,100,G,200"], {"R": 100, "G": 200}),
        ("explode: true", RGB, ["R=100,G=200"], {"R": 100, "G": 200}),
    ],
)
def test_headers_are_parameters(engine: Engine, more: str, schema: str, lines: list[str], value: Any) -> None:
    echo(engine, parameter("header", schema, more, "Color"))
    response = engine.request("/x", headers=[("COLOR", line) for line in lines])
    assert (response.status_code, response.json()) == (200, {"value": value}), response.text


def test_invalid_headers_are_rejected(engine: Engine) -> None:
    echo(engine, parameter("header", "{type: integer}", "required: true", "Color"))
    assert faults(engine.request("/x", headers={"color": "x"})) == ["/header/Color WRONG_TYPE"]
    assert faults(engine.request("/x", headers=[("color", "1"), ("color", "2")])) == ["/header/Color REPEATED"]
    assert faults(engine.request("/x")) == ["/header/Color REQUIRED"]


def test_definitions_of_standard_headers_are_ignored(engine: Engine) -> None:
    names = ("Accept", "content-type", "Authorization")
    required = [parameter("header", "{type: integer}", "required: true", name) for name in names]
    echo(engine, *required, parameter("query", "{type: integer}"))
    assert engine.request("/x?color=1").json() == {"value": 1}


@pytest.mark.parametrize(
    ("more", "schema", "cookie", "value"),
    [
        ("", "{type: integer}", "other=x; color=5", 5),
        ("", "{type: string}", 'color="a b"', "a b"),
        ("", "{type: string}", r'color="a\"b"', 'a"b'),
        ("", "{type: string}", "other; color = a b ;x", "a b"),
        ("explode: false", COLORS, "color=blue,black", ["blue", "black"]),
        ("", COLORS, "color=blue; color=black", ["blue", "black"]),
        ("", RGB, "R=100; G=200; session=1", {"R": 100, "G": 200}),
    ],
)
def test_cookies_are_parameters(engine: Engine, more: str, schema: str, cookie: str, value: Any) -> None:
    echo(engine, parameter("cookie", schema, more))
    response = engine.request("/x", headers={"Cookie": cookie})
    assert (response.status_code, response.json()) == (200, {"value": value}), response.text


def test_invalid_cookies_are_rejected(engine: Engine) -> None:
    echo(engine, parameter("cookie", "{type: integer}"))
    assert faults(engine.request("/x", headers={"Cookie": "color=1; color=2"})) == ["/cookie/color REPEATED"]
    for text in ("red", "a b", '5"', '"5', ""):
        assert faults(engine.request("/x", headers={"Cookie": f"color={text}"})) == ["/cookie/color WRONG_TYPE"], text


@pytest.mark.parametrize("media_type", ["application/json", "application/vnd.color+json"])
def test_parameters_may_be_json(engine: Engine, media_type: str) -> None:
    content = f"content: {{{media_type}: {{schema: {{type: object, properties: {{a: {{type: integer}}}}}}}}}}"
    for place, send in (("query", "?color="), ("header", "")):
        echo(engine, f"{{name: color, in: {place}, {content}}}")

        def ask(text: str, place: str = place, send: str = send) -> Any:
            headers = {"color": text} if place == "header" else {}
            return engine.request(f"/x{send}{text if send else ''}", headers=headers)

        assert ask('{"a":1}').json() == {"value": {"a": 1}}
        assert faults(ask('{"a":"x"}')) == [f"/{place}/color/a WRONG_TYPE"]
        assert faults(ask('{"a":1')) == [f"/{place}/color MALFORMED_JSON"]
        assert faults(ask('{"a":1,"a":1}')) == [f"/{place}/color REPEATED"]


def test_texts_may_be_the_content_of_parameters(engine: Engine) -> None:
    echo(engine, "{name: color, in: query, content: {text/plain: {schema: {type: string, maxLength: 3}}}}")
    assert engine.request("/x?color=a,b").json() == {"value": "a,b"}
    assert faults(engine.request("/x?color=abcd")) == ["/query/color TOO_LONG"]


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        (
            "{type: string, format: uuid}",
            "019B2C9E-6d5c-7c3a-9d4e-0f6f3a1b2c3d",
            "UUID('019b2c9e-6d5c-7c3a-9d4e-0f6f3a1b2c3d')",
        ),
        (
            "{type: string, format: date-time}",
            "2026-01-31T12:00:05.5Z",
            "datetime.datetime(2026, 1, 31, 12, 0, 5, 500000, tzinfo=datetime.timezone.utc)",
        ),
        (
            "{type: array, items: {type: string, format: date-time}}",
            "2026-01-31T12:00:05%2B00:00",
            "[datetime.datetime(2026, 1, 31, 12, 0, 5, tzinfo=datetime.timezone.utc)]",
        ),
        (
            "{oneOf: [{type: string, format: date}, {type: string, enum: [today]}]}",
            "2026-01-31",
            "datetime.date(2026, 1, 31)",
        ),
        ("{oneOf: [{type: string, format: date}, {type: string, enum: [today]}]}", "today", "'today'"),
        ("{anyOf: [{type: string, format: uuid}, {type: string, maxLength: 4}]}", "x", "'x'"),
        ("{allOf: [{type: string}, {format: date}]}", "2026-01-31", "datetime.date(2026, 1, 31)"),
        (
            "{type: string, format: uuid, default: 019b2c9e-6d5c-7c3a-9d4e-0f6f3a1b2c3d}",
            "",
            "UUID('019b2c9e-6d5c-7c3a-9d4e-0f6f3a1b2c3d')",
        ),
    ],
)
def test_formats_arrive_as_python_types(engine: Engine, schema: str, text: str, value: str) -> None:
    echo(engine, parameter("query", schema))
    engine.handlers.list_things = lambda color: {"value": repr(color)}  # type: ignore[attr-defined]
    assert engine.request(f"/x?color={text}" if text else "/x").json() == {"value": value}


def test_dates_arrive_as_dates(engine: Engine) -> None:
    engine.formats["date"] = lambda text: len(text) == 10
    echo(engine, parameter("query", "{type: string, format: date}"))
    engine.handlers.list_things = lambda color: {"value": repr(color)}  # type: ignore[attr-defined]
    assert engine.request("/x?color=2026-01-31").json() == {"value": "datetime.date(2026, 1, 31)"}
    assert faults(engine.request("/x?color=2026-02-30")) == ["/query/color WRONG_FORMAT"]
    assert faults(engine.request("/x?color=x")) == ["/query/color WRONG_FORMAT"]


def test_names_are_python_names(engine: Engine) -> None:
    engine.write(
        document(
            "{tags: [a], operationId: listThings, parameters: ["
            + ", ".join(
                parameter(place, "{type: integer}", name=name)
                for place, name in [
                    ("path", "id"),
                    ("query", "id"),
                    ("query", "page-size"),
                    ("query", "filter[name]"),
                    ("query", "pageToken"),
                    ("query", "from"),
                    ("query", "2nd"),
                    ("query", "body"),
                    ("header", "X-Request-ID"),
                ]
            )
            + f"], {ECHO}}}",
            "/x/{id}",
        )
    )

    def list_things(
        path_id: int,
        query_id: int,
        page_size: int,
        filter_name: int,
        page_token: int,
        query_from: int,
        query_2nd: int,
        query_body: int,
        x_request_id: int,
    ) -> dict[str, Any]:
        return locals()

    engine.handlers.list_things = list_things  # type: ignore[attr-defined]
    query = "id=2&page-size=3&filter[name]=4&pageToken=5&from=6&2nd=7&body=8"
    response = engine.request(f"/x/1?{query}", headers={"X-Request-ID": "9"})
    assert list(response.json().values()) == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_signs_of_comparison_belong_to_python_names(engine: Engine) -> None:
    names = ["Price", "Price<", "Price>"]
    parameters = ", ".join(f"{{name: '{name}', in: query, schema: {{type: integer}}}}" for name in names)
    engine.write(document(f"{{tags: [a], operationId: find, parameters: [{parameters}], {ECHO}}}"))
    engine.handlers.find = lambda price, price_lt, price_gt: {"=": price, "<": price_lt, ">": price_gt}  # type: ignore[attr-defined]
    assert engine.request("/x?Price=1&Price%3C=2&Price>=3").json() == {"=": 1, "<": 2, ">": 3}


def test_explicit_parameters_take_their_names_from_open_objects(engine: Engine) -> None:
    echo(engine, parameter("query", OPEN), parameter("query", "{type: string}", name="word"))
    assert engine.request("/x?R=1&word=x&more=2").json() == {"value": {"R": 1, "more": 2}}


def test_random_parameters_never_fail_on_the_server(engine: Engine) -> None:
    schemas = [COLORS, NUMBERS, RGB, OPEN, FILTER, "{type: number}", "{anyOf: [{type: integer}, " + RGB + "]}"]
    styles = ["", "explode: false", "style: spaceDelimited", "style: pipeDelimited", "style: deepObject"]
    pieces = ["color", "R", "price", "gte", "x", "1", *"[]=&,|%+;{", '"', "%2C", "%20", "%00", "%E4"]
    chance = random.Random(17)  # noqa: S311 - not used for security
    for schema in schemas:
        echo(
            engine,
            parameter("query", schema, chance.choice(styles)),
            *(parameter(place, schema, name=f"{place}-color") for place in ("header", "cookie")),
        )
        with TestClient(engine.start()) as client:
            for _ in range(60):
                query, header, cookie = ("".join(chance.choices(pieces, k=chance.randint(0, 12))) for _ in range(3))
                headers = {"Header-Color": header, "Cookie": f"cookie-color={cookie}"}
                response = client.get(f"/x?color{query}", headers=headers)
                assert response.status_code in {200, 400}, (schema, query, header, cookie)


def test_operations_have_the_parameters_of_their_path(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    echo(engine, parameter("query", "{type: integer, maximum: 5}"))
    loaded = contract.Contract(deepcopy(contract.load(engine.folder).document))
    shared = [
        {"name": "color", "in": "query", "schema": {"type": "string"}},
        {"name": "size", "in": "query", "required": True, "schema": {"type": "integer"}},
    ]
    loaded.document["paths"]["/x"]["parameters"] = shared
    monkeypatch.setattr(contract, "load", lambda _: loaded)
    engine.handlers.list_things = lambda color, size: {"value": [color, size]}  # type: ignore[attr-defined]
    assert engine.request("/x?color=5&size=2").json() == {"value": [5, 2]}
    assert faults(engine.request("/x?color=6")) == ["/query/color TOO_LARGE", "/query/size REQUIRED"]
