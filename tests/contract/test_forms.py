"""The properties of forms of the type `application/x-www-form-urlencoded`."""

from typing import Any

import pytest

from tests.support.bodies import FORM, faults, post, serve
from tests.support.engine import SHARED, Engine

NUMBERS = "type: array, items: {type: integer}"
NULLABLE = f"{{{NUMBERS}, nullable: true}}"
EITHER = f"{{oneOf: [{{type: integer}}, {{{NUMBERS}}}]}}"


def serve_form(engine: Engine, properties: str, encoding: str = "", more: str = "") -> None:
    """Serve POST /x with a form that has these properties."""
    schema = f"{{type: object, {more}{', ' if more else ''}properties: {{{properties}}}}}"
    serve(engine, f"{{{FORM}: {{schema: {schema}, encoding: {{{encoding}}}}}}}")


def body_of(engine: Engine, text: str) -> Any:
    response = post(engine, text, FORM)
    assert response.status_code == 200, response.text
    return response.json()["body"]


@pytest.mark.parametrize(
    ("schema", "encoding", "text", "value"),
    [
        (NULLABLE, "", "p=1", [1]),
        (NULLABLE, "", "p=1&p=2", [1, 2]),
        (NULLABLE, "", "p=null", None),
        (NULLABLE, "explode: false", "p=1,2", [1, 2]),
        (NULLABLE, "style: spaceDelimited", "p=1+2", [1, 2]),
        (NULLABLE, "style: pipeDelimited", "p=1|2", [1, 2]),
        (EITHER, "", "p=1", 1),
        (EITHER, "", "p=1&p=2", [1, 2]),
        (EITHER, "explode: false", "p=1,2", [1, 2]),
    ],
)
def test_a_property_may_be_a_list_or_another_value(
    engine: Engine, schema: str, encoding: str, text: str, value: Any
) -> None:
    serve_form(engine, f"p: {schema}", f"p: {{{encoding}}}")
    assert body_of(engine, text) == {"p": value}


def test_a_list_of_openapi_3_1_may_be_null(engine: Engine) -> None:
    engine.write(SHARED.replace("3.0.3", "3.1.0"), "openapi.yaml")
    serve_form(engine, "p: {type: [array, 'null'], items: {type: integer}}")
    assert body_of(engine, "p=1") == {"p": [1]}
    assert body_of(engine, "p=null") == {"p": None}


def test_each_property_of_a_form_has_its_own_notation(engine: Engine) -> None:
    limited = "{anyOf: [{type: integer, maximum: 5}, {type: string}]}"
    serve_form(engine, f"p: {limited}, q: {{anyOf: [{{type: integer}}, {{type: string, enum: [x]}}]}}")
    assert body_of(engine, "p=12&q=1") == {"p": "12", "q": 1}


def test_alternatives_of_a_form_have_their_own_notations(engine: Engine) -> None:
    kinds = ", ".join(
        f"{{type: object, required: [kind], properties: {{kind: {{enum: [{kind}]}}, p: {{type: {kind}}}}}}}"
        for kind in ("integer", "string")
    )
    serve(engine, f"{{{FORM}: {{schema: {{oneOf: [{kinds}]}}}}}}")
    assert body_of(engine, "kind=integer&p=1") == {"kind": "integer", "p": 1}
    assert body_of(engine, "kind=string&p=1") == {"kind": "string", "p": "1"}


CROSSED = ", ".join(
    f"{{type: object, properties: {{a: {{type: {a}}}, b: {{type: {b}}}}}}}"
    for a, b in (("integer", "string"), ("string", "integer"))
)


@pytest.mark.parametrize("schema", [f"{{oneOf: [{CROSSED}]}}", f"{{required: [a], anyOf: [{CROSSED}]}}"])
def test_each_member_of_an_alternative_has_its_own_notation(engine: Engine, schema: str) -> None:
    serve(engine, f"{{{FORM}: {{schema: {schema}}}}}")
    assert body_of(engine, "a=1&b=2") == {"a": 1, "b": "2"}
    assert body_of(engine, "a=1&b=x") == {"a": 1, "b": "x"}
    assert body_of(engine, "a=x&b=2") == {"a": "x", "b": 2}
    assert faults(post(engine, "a=x&b=x", FORM)) == ["/body NOT_ALLOWED"]


OBJECT = "{type: object, properties: {a: {type: integer}}}"
SPREAD = "p: {style: form, explode: true}"


def test_an_exploded_object_leaves_the_other_properties(engine: Engine) -> None:
    deep = "{type: object, properties: {b: {type: integer}}}"
    for inner in (OBJECT, f"{OBJECT[:-1]}, additionalProperties: {{type: integer}}}}"):
        serve_form(engine, f"p: {inner}, q: {{type: string}}, d: {deep}", f"{SPREAD}, d: {{style: deepObject}}")
        assert body_of(engine, "a=1&q=x&d[b]=2") == {"p": {"a": 1}, "q": "x", "d": {"b": 2}}


def test_an_open_exploded_object_takes_unknown_pairs_once(engine: Engine) -> None:
    for more in ("", "additionalProperties: false"):
        serve_form(engine, f"p: {OBJECT}, q: {{type: string}}", SPREAD, more)
        assert body_of(engine, "a=1&q=x&zz=2") == {"p": {"a": 1, "zz": "2"}, "q": "x"}


def test_a_closed_exploded_object_takes_no_other_pairs(engine: Engine) -> None:
    closed = f"{OBJECT[:-1]}, additionalProperties: false}}"
    serve_form(engine, f"p: {closed}", SPREAD)
    assert body_of(engine, "a=1&zz=2") == {"p": {"a": 1}, "zz": "2"}
    assert faults(post(engine, "p=1", FORM)) == ["/body/p WRONG_TYPE"]
    assert faults(post(engine, "a=1&p=%7B%22a%22:2%7D", FORM)) == ["/body/p REPEATED"]
    serve_form(engine, f"p: {closed[:-1]}, nullable: true}}", SPREAD, "additionalProperties: false")
    assert body_of(engine, "p=null") == {"p": None}
    assert faults(post(engine, "a=1&zz=2", FORM)) == ["/body UNKNOWN"]


def test_other_properties_may_be_lists(engine: Engine) -> None:
    serve_form(engine, "", "", f"additionalProperties: {NULLABLE}")
    assert body_of(engine, "a=4&b=5&b=6&c=null") == {"a": [4], "b": [5, 6], "c": None}
    assert faults(post(engine, "a=x", FORM)) == ["/body/a WRONG_TYPE"]
    serve_form(engine, "")
    assert body_of(engine, "a=4&b=5&b=6") == {"a": "4", "b": ["5", "6"]}


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ("{type: string}", "%22x%22", "x"),
        ("{type: string, enum: [ab]}", "%22ab%22", "ab"),
        ("{type: string}", "%221%22", "1"),
        ("{type: integer}", "1", 1),
        ("{}", "%7B%22a%22:[1]%7D", {"a": [1]}),
        ("{type: array, items: {type: integer}}", "[1,2]", [1, 2]),
        (OBJECT, "%7B%22a%22:1%7D", {"a": 1}),
    ],
)
def test_a_property_with_the_content_type_json_is_parsed(engine: Engine, schema: str, text: str, value: Any) -> None:
    for content_type in ("application/json", "application/vnd.a+json"):
        serve_form(engine, f"p: {schema}, q: {{type: string}}", f"p: {{contentType: {content_type}}}")
        assert body_of(engine, f"p={text}&q=%22x%22") == {"p": value, "q": '"x"'}


def test_a_property_that_is_not_json_is_rejected(engine: Engine) -> None:
    serve_form(engine, "p: {type: string}, q: {}", "p: {contentType: application/json}, q: {contentType: a/b+json}")
    assert faults(post(engine, "p=x&q=y", FORM)) == ["/body/p MALFORMED_JSON", "/body/q MALFORMED_JSON"]
    assert faults(post(engine, "p=1", FORM)) == ["/body/p WRONG_TYPE"]
    assert faults(post(engine, "p=%22x%22&p=%22x%22", FORM)) == ["/body/p REPEATED"]


def test_a_style_replaces_the_content_type_of_a_property(engine: Engine) -> None:
    serve_form(engine, "p: {type: string}", "p: {contentType: application/json, style: form}")
    assert body_of(engine, "p=%22x%22") == {"p": '"x"'}


def test_a_property_with_several_content_types_may_be_text(engine: Engine) -> None:
    serve_form(
        engine, f"p: {{oneOf: [{OBJECT}, {{type: string}}]}}", "p: {contentType: 'application/json, text/plain'}"
    )
    assert body_of(engine, "p=%7B%22a%22:1%7D") == {"p": {"a": 1}}
    assert body_of(engine, "p=x") == {"p": "x"}


def test_a_default_in_an_alternative_does_not_break_a_request(engine: Engine) -> None:
    inner = "a: {type: object, properties: {b: {type: integer, default: x}}}"
    serve(engine, f"{{{FORM}: {{schema: {{type: object, anyOf: [{{properties: {{{inner}}}}}]}}}}}}")
    assert body_of(engine, "a=%7B%7D") == {"a": {}}


def test_a_list_has_few_items(engine: Engine) -> None:
    content = f"{{{FORM}: {{schema: {{properties: {{p: {{{NUMBERS}}}}}}}, encoding: {{p: {{explode: false}}}}}}}}"
    serve(engine, content, "x-body-bytes: 30000, ")
    assert body_of(engine, "p=" + ",".join("1" * 1000)) == {"p": [1] * 1000}
    assert faults(post(engine, "p=" + ",".join("1" * 1001), FORM)) == ["/body/p TOO_MANY"]
