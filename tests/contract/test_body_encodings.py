"""Request bodies: ranges of media types, encodings of forms and parts, defaults, and the faults of all places."""

from typing import Any

import pytest

from tests.contract.test_bodies import BINARY, MULTIPART, NAME, OBJECT
from tests.support.bodies import faults, part, post, send, serve
from tests.support.engine import SHARED, Engine


def test_the_narrowest_range_chooses_the_schema(engine: Engine) -> None:
    short = "{type: string, maxLength: 1}"
    ranges = (
        f"'*/*': {{schema: {BINARY}}}, application/*: {{schema: {short}}}, application/*+json: {{schema: {OBJECT}}}"
    )
    serve(engine, f"{{{ranges}}}")
    assert post(engine, b'{"a":1}', "application/hal+json").json() == {"body": {"a": 1}}
    assert faults(post(engine, b"ab", "application/pdf")) == ["/body TOO_LONG"]
    assert post(engine, b"ab", "image/png").json() == {"body": [None, "image/png", 2, "ab"]}


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ("{type: integer}", b"5", 5),
        ("{type: boolean}", b"true", True),
        ("{oneOf: [{type: integer, maximum: 5}, {type: string}]}", b"5", 5),
        ("{oneOf: [{type: integer, maximum: 5}, {type: string}]}", b"12", "12"),
    ],
)
def test_texts_have_the_types_of_their_schema(engine: Engine, schema: str, text: bytes, value: object) -> None:
    serve(engine, f"{{text/plain: {{schema: {schema}}}}}")
    assert post(engine, text, "text/plain").json() == {"body": value}


ENCODED = """{application/x-www-form-urlencoded: {
  schema: {type: object, properties: {
    json: {type: array, items: {type: integer}}, flat: {type: object, properties: {x: {type: integer}},
    additionalProperties: false}, size: {type: integer, default: 7}}},
  encoding: {json: {contentType: application/json}, flat: {style: form, explode: true}}}}"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("json=[1,2]", {"json": [1, 2]}),
        ("x=1", {"flat": {"x": 1}}),
        ("other=1&other=2&more=3", {"other": ["1", "2"], "more": "3"}),
    ],
)
def test_forms_have_the_encodings_and_defaults_of_the_contract(
    engine: Engine, text: str, value: dict[str, Any]
) -> None:
    serve(engine, ENCODED)
    response = post(engine, text, "application/x-www-form-urlencoded")
    assert response.json() == {"body": {"size": 7, **value}}, response.text


OTHER_PARTS = f"""{{multipart/form-data: {{
  schema: {{type: object, properties: {{
    any: {{}}, lists: {{type: array, items: {{type: array, items: {{type: integer}}}}}}, image: {BINARY},
    size: {{type: integer, default: 7}}}}}},
  encoding: {{image: {{contentType: 'image/*'}}}}}}}}"""


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        (part("any", "x", "a.txt", "text/plain"), {"any": ["a.txt", "text/plain", 1, "x"]}),
        (part("any", "x"), {"any": "x"}),
        (part("lists", "[1,2]", None, "application/json") * 2, {"lists": [[1, 2], [1, 2]]}),
        (part("image", "x", "a.png", "image/png"), {"image": ["a.png", "image/png", 1, "x"]}),
    ],
)
def test_parts_may_have_any_type_and_a_range_of_media_types(engine: Engine, sent: bytes, value: dict[str, Any]) -> None:
    serve(engine, OTHER_PARTS)
    response = send(engine, sent)
    assert response.json() == {"body": {"size": 7, **value}}, response.text


def test_parts_of_3_1_are_files_by_their_media_type(engine: Engine) -> None:
    engine.write(SHARED.replace("3.0.3", "3.1.0"), "openapi.yaml")
    kind = "type: string, contentMediaType: image/png"
    members = f"image: {{{kind}}}, text: {{{kind}, contentEncoding: base64}}"
    serve(engine, f"{{multipart/form-data: {{schema: {{type: object, properties: {{{members}}}}}}}}}")
    response = send(engine, part("image", "x", None, "image/png"), part("text", "eA=="))
    assert response.json() == {"body": {"image": [None, "image/png", 1, "x"], "text": "eA=="}}, response.text


@pytest.mark.parametrize(
    ("content", "sent", "content_type", "member"),
    [
        (f"{{application/json: {{schema: {OBJECT}}}}}", b'{"a":"x"}', "application/json", "a"),
        (MULTIPART, NAME + part("age", "x") + b"--b--", "multipart/form-data; boundary=b", "age"),
    ],
)
def test_faults_of_parameters_and_of_the_body_are_reported_together(
    engine: Engine, content: str, sent: bytes, content_type: str, member: str
) -> None:
    serve(engine, content, "parameters: [{name: n, in: query, schema: {type: integer}}], ")
    response = engine.request("/x?n=x", "POST", content=sent, headers={"Content-Type": content_type})
    assert faults(response) == ["/query/n WRONG_TYPE", f"/body/{member} WRONG_TYPE"]


def test_headers_of_a_part_that_never_end_are_rejected(engine: Engine) -> None:
    serve(engine, MULTIPART, "x-body-bytes: 30000000, ")
    endless = b"--b\r\nX: " + b"x" * 100_000
    assert post(engine, endless, "multipart/form-data; boundary=b").status_code == 413
