"""The parts of forms of the type `multipart/form-data`."""

from typing import Any

import pytest

from tests.support.bodies import faults, part, send, serve
from tests.support.engine import SHARED, Engine

LIMITED = "{anyOf: [{type: integer, maximum: 5}, {type: string, maxLength: 3}]}"


def serve_parts(engine: Engine, properties: str, encoding: str = "") -> None:
    """Serve POST /x with a form that has these parts."""
    schema = f"{{type: object, properties: {{{properties}}}}}"
    serve(engine, f"{{multipart/form-data: {{schema: {schema}, encoding: {{{encoding}}}}}}}")


def body_of(engine: Engine, *parts: bytes) -> Any:
    response = send(engine, *parts)
    assert response.status_code == 200, response.text
    return response.json()["body"]


def test_a_part_may_be_a_number_or_a_string(engine: Engine) -> None:
    serve_parts(engine, f"p: {LIMITED}, q: {{type: array, items: {LIMITED}}}")
    assert body_of(engine, part("p", "12"), part("q", "5"), part("q", "6")) == {"p": "12", "q": [5, "6"]}
    assert body_of(engine, part("p", "5"), part("other", "5")) == {"p": 5, "other": "5"}
    assert faults(send(engine, part("p", "1234"))) == ["/body/p TOO_LARGE"]


FILES = "files: {type: array, items: {type: string, format: binary}}"


def files_after(engine: Engine, end: str) -> Any:
    """Send two files, and return the response. The headers of the first one end with these line breaks."""
    serve_parts(engine, FILES)
    first = part("files", "one\r\n\r\ntwo", "a", "a/b").replace(b"\r\n\r\n", end.encode(), 1)
    return send(engine, first, part("files", "three", "b", "a/b"))


@pytest.mark.parametrize("end", ["\n\r\n", "\r\n\r", "\n\r", "\r\n \r\n", "\r\n\t\r\n", "\r\n"])
def test_mixed_line_breaks_after_headers_are_rejected(engine: Engine, end: str) -> None:
    assert faults(files_after(engine, end)) == ["/body WRONG_FORMAT"]


@pytest.mark.parametrize("end", ["\n\n", "\r\r", "\r\n\n"])
def test_equal_line_breaks_after_headers_are_read(engine: Engine, end: str) -> None:
    files = files_after(engine, end).json()["body"]["files"]
    assert files == [["a", "a/b", 10, "one\r\n\r\ntwo"], ["b", "a/b", 5, "three"]]


def test_a_part_without_headers_hides_no_part(engine: Engine) -> None:
    serve_parts(engine, FILES)
    assert faults(send(engine, b"--b\r\n\r\none\r\n", part("files", "two", "b"))) == ["/body WRONG_FORMAT"]


def test_bare_line_breaks_between_headers_are_read(engine: Engine) -> None:
    serve_parts(engine, FILES)
    parts = [part("files", text, text, "a/b").replace(b"\r\nContent-Type", b"\nContent-Type") for text in ("a", "b")]
    assert body_of(engine, *parts) == {"files": [["a", "a/b", 1, "a"], ["b", "a/b", 1, "b"]]}


NUMBERS = "{type: array, items: {type: integer}}"
RGB = "{type: object, properties: {R: {type: integer}, G: {type: integer}}}"


@pytest.mark.parametrize(
    ("schema", "style", "parts", "value"),
    [
        (NUMBERS, "style: pipeDelimited, explode: false", [("p", "1|2")], [1, 2]),
        (NUMBERS, "style: spaceDelimited, explode: false", [("p", "1 2")], [1, 2]),
        (NUMBERS, "explode: false", [("p", "1,2")], [1, 2]),
        (NUMBERS, "explode: true", [("p", "1"), ("p", "2")], [1, 2]),
        ("{type: array, items: {type: string}}", "explode: false", [("p", "a%2Cb,c+d")], ["a%2Cb", "c+d"]),
        (RGB, "explode: false", [("p", "R,1,G,2")], {"R": 1, "G": 2}),
        (RGB, "explode: true", [("R", "1"), ("G", "2"), ("B", "3")], {"R": 1, "G": 2, "B": "3"}),
        (RGB, "style: deepObject", [("p[R]", "1"), ("p[G]", "2")], {"R": 1, "G": 2}),
        ("{type: string}", "style: form, contentType: application/json", [("p", '"x"')], '"x"'),
    ],
)
def test_parts_of_openapi_3_1_have_styles(
    engine: Engine, schema: str, style: str, parts: list[tuple[str, str]], value: Any
) -> None:
    engine.write(SHARED.replace("3.0.3", "3.1.0"), "openapi.yaml")
    serve_parts(engine, f"p: {schema}, q: {{type: integer}}, {FILES}", f"p: {{{style}}}")
    sent = [*(part(name, text) for name, text in parts), part("q", "5"), part("files", "x", "a", "a/b")]
    assert body_of(engine, *sent) == {"p": value, "q": 5, "files": [["a", "a/b", 1, "x"]]}


def test_invalid_styles_of_parts_are_rejected(engine: Engine) -> None:
    engine.write(SHARED.replace("3.0.3", "3.1.0"), "openapi.yaml")
    serve_parts(engine, f"p: {NUMBERS}, rgb: {RGB}", "p: {explode: false}, rgb: {style: deepObject}")
    assert faults(send(engine, part("p", "1,x"), part("rgb[R]", "1"))) == ["/body/p/1 WRONG_TYPE"]
    assert faults(send(engine, part("p", "1"), part("p", "2"))) == ["/body/p REPEATED"]
    assert faults(send(engine, part("p", "1\0"))) == ["/body/p WRONG_FORMAT"]
    assert faults(send(engine, part("p", "1", None, "text/plain; charset=latin-1"))) == ["/body/p WRONG_FORMAT"]


def test_an_exploded_object_of_parts_is_given_once(engine: Engine) -> None:
    engine.write(SHARED.replace("3.0.3", "3.1.0"), "openapi.yaml")
    serve_parts(engine, f"p: {RGB[:-1]}, additionalProperties: false}}", "p: {style: form}")
    assert faults(send(engine, part("R", "1"), part("p", '{"R":2}'))) == ["/body/p REPEATED"]


def test_openapi_3_0_ignores_the_styles_of_parts(engine: Engine) -> None:
    serve_parts(engine, f"p: {NUMBERS}", "p: {style: pipeDelimited, explode: false}")
    assert body_of(engine, part("p", "1"), part("p", "2")) == {"p": [1, 2]}
    assert faults(send(engine, part("p", "1|2"))) == ["/body/p/0 WRONG_TYPE"]


@pytest.mark.parametrize(
    ("schema", "texts", "value"),
    [
        ("{type: array, prefixItems: [{type: string}, {type: integer}]}", ["a", "2"], ["a", 2]),
        ("{type: array, prefixItems: [{type: integer}], items: {type: string}}", ["1", "2", "3"], [1, "2", "3"]),
        ("{type: [string, array], items: {type: integer}}", ["abc"], "abc"),
        ("{type: [string, array], items: {type: integer}}", ["1", "2"], [1, 2]),
        ("{oneOf: [{type: boolean}, {type: array, items: {type: integer}}]}", ["true"], True),
        ("{oneOf: [{type: boolean}, {type: array, items: {type: integer}}]}", ["1"], [1]),
    ],
)
def test_each_part_has_the_type_of_its_place(engine: Engine, schema: str, texts: list[str], value: Any) -> None:
    engine.write(SHARED.replace("3.0.3", "3.1.0"), "openapi.yaml")
    serve_parts(engine, f"p: {schema}")
    assert body_of(engine, *(part("p", text) for text in texts)) == {"p": value}


@pytest.mark.parametrize(("schema", "text"), [("{type: integer}", "5"), ("{type: boolean}", "true"), ("{}", "a")])
def test_a_part_that_is_no_list_is_given_once(engine: Engine, schema: str, text: str) -> None:
    serve_parts(engine, f"p: {schema}")
    assert faults(send(engine, part("p", text), part("p", text))) == ["/body/p REPEATED"]
