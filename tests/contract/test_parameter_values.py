"""Values of parameters: alternatives, lists in objects, shared names, defaults, and texts that are not valid."""

import pytest
from starlette.testclient import TestClient

from api.contract import ContractError
from tests.contract.test_parameter_styles import COLORS, NUMBERS, OPEN, RGB, WORDS, echo, faults, parameter
from tests.support.engine import SHARED, Engine

LISTS = "{type: object, additionalProperties: {type: array, items: {type: integer}}}"
MIXED = "{oneOf: [{type: integer, maximum: 5}, {type: string, minLength: 2}]}"
ALTERNATIVES = f"{{anyOf: [{{type: integer}}, {NUMBERS}]}}"
TEXTS = f"{{oneOf: [{{type: string}}, {COLORS}]}}"


@pytest.mark.parametrize(
    ("schema", "query", "value"),
    [
        (LISTS, "R=100&R=200&G=1", {"R": [100, 200], "G": [1]}),
        (ALTERNATIVES, "color=12", 12),
        (ALTERNATIVES, "color=1&color=2", [1, 2]),
        (TEXTS, "color=12", "12"),
        (TEXTS, "color=1&color=2", ["1", "2"]),
        (f"{{type: array, items: {MIXED}}}", "color=1&color=12&color=x1", [1, "12", "x1"]),
    ],
)
def test_a_value_may_be_a_list_or_have_lists(engine: Engine, schema: str, query: str, value: object) -> None:
    echo(engine, parameter("query", schema))
    response = engine.request(f"/x?{query}")
    assert (response.status_code, response.json()) == (200, {"value": value}), response.text


@pytest.mark.parametrize(
    ("more", "schema", "query", "code"),
    [
        ("style: deepObject", RGB, "color[R][a]=2&color[R]=1", "REPEATED"),
        ("style: deepObject", RGB, "color=1&color[R]=1", "REPEATED"),
        ("", "{type: number}", "color=01.5", "WRONG_TYPE"),
        ("", "{type: number}", "color=1.%D9%A1", "WRONG_TYPE"),
        ("", "{type: string}", "color=%00", "WRONG_FORMAT"),
    ],
)
def test_ambiguous_and_foreign_notations_are_rejected(
    engine: Engine, more: str, schema: str, query: str, code: str
) -> None:
    echo(engine, parameter("query", schema, more))
    assert faults(engine.request(f"/x?{query}")) == [f"/query/color {code}"]


def test_cookies_that_the_contract_does_not_name_are_ignored(engine: Engine) -> None:
    echo(engine, parameter("cookie", OPEN))
    assert engine.request("/x", headers={"Cookie": "R=100; session=1"}).json() == {"value": {"R": 100}}


def test_cookies_may_have_several_lines(engine: Engine) -> None:
    echo(engine, parameter("cookie", COLORS))
    response = engine.request("/x", headers=[("Cookie", "color=blue; session=1"), ("Cookie", "color=black")])
    assert response.json() == {"value": ["blue", "black"]}


def test_formats_in_objects_arrive_as_python_types(engine: Engine) -> None:
    day = "{type: object, properties: {day: {type: string, format: date}}}"
    echo(engine, parameter("query", f"{{type: array, items: {day}}}"))
    engine.handlers.list_things = lambda color: {"value": repr(color)}  # type: ignore[attr-defined]
    response = engine.request("/x", params={"color": '{"day":"2026-01-31"}'})
    assert response.json() == {"value": "[{'day': datetime.date(2026, 1, 31)}]"}


@pytest.mark.parametrize(
    ("other", "clash"),
    [(parameter("query", "{type: string}", name="R"), "R"), (parameter("query", RGB, name="o"), "G")],
)
def test_a_name_in_the_query_belongs_to_one_parameter(engine: Engine, other: str, clash: str) -> None:
    echo(engine, parameter("query", RGB), other)
    with pytest.raises(ContractError, match=f"the parameters 'color' and '.' both have '{clash}'"):
        engine.start()


def test_requests_do_not_share_the_default_of_a_parameter(engine: Engine) -> None:
    echo(engine, parameter("query", "{type: array, items: {type: integer}, default: [1]}"))
    engine.handlers.list_things = lambda color: {"value": [len(color), color.append(2)]}  # type: ignore[attr-defined]
    with TestClient(engine.start()) as client:
        assert [client.get("/x").json()["value"] for _ in range(2)] == [[1, None], [1, None]]


def test_objects_do_not_take_the_members_of_other_objects(engine: Engine) -> None:
    deep = parameter("query", "{type: object, properties: {a: {type: integer}}}", "style: deepObject", "filter")
    echo(engine, parameter("query", "{type: object, additionalProperties: {type: integer}}"), deep)
    engine.handlers.list_things = lambda color, filter: {"value": [color, filter]}  # type: ignore[attr-defined]  # noqa: A006
    assert engine.request("/x?b=1&filter[a]=2").json() == {"value": [{"b": 1}, {"a": 2}]}


def test_open_objects_leave_the_members_of_other_exploded_objects(engine: Engine) -> None:
    other = parameter("query", "{type: object, additionalProperties: false, properties: {a: {}}}", name="o")
    echo(engine, parameter("query", WORDS), other)
    engine.handlers.list_things = lambda color, o: {"value": [color, o]}  # type: ignore[attr-defined]
    assert engine.request("/x?a=1&b=2").json() == {"value": [{"b": "2"}, {"a": "1"}]}
    assert engine.request("/x?o=1").json() == {"value": [{"o": "1"}, None]}


def test_open_objects_leave_deep_objects_with_brackets_in_their_names(engine: Engine) -> None:
    echo(engine, parameter("query", WORDS), parameter("query", "{type: object}", "style: deepObject", "f[x]"))
    engine.handlers.list_things = lambda color, f_x: {"value": [color, f_x]}  # type: ignore[attr-defined]
    assert engine.request("/x?f[x][a]=1&f[y]=2").json() == {"value": [{"f[y]": "2"}, {"a": "1"}]}


def test_the_name_of_an_exploded_object_is_unknown(engine: Engine) -> None:
    echo(engine, parameter("query", RGB))
    assert faults(engine.request("/x?color=5")) == ["/query UNKNOWN"]
    assert faults(engine.request("/x?color=5&R=1")) == ["/query UNKNOWN"]


def test_the_name_of_a_value_is_not_a_member_of_the_value(engine: Engine) -> None:
    echo(engine, parameter("query", f"{{anyOf: [{{type: integer}}, {WORDS}]}}"))
    assert engine.request("/x?color=5").json() == {"value": 5}
    assert engine.request("/x?word=x").json() == {"value": {"word": "x"}}
    assert faults(engine.request("/x?color=x")) == ["/query/color NOT_ALLOWED"]


@pytest.mark.parametrize("name", ["ids[]", "filter[a", "other"])
def test_open_objects_take_all_names_that_no_parameter_has(engine: Engine, name: str) -> None:
    deep = parameter("query", "{type: object, additionalProperties: {}}", "style: deepObject", "filter")
    ids = parameter("query", "{type: array, items: {type: integer}}", name="ids")
    echo(engine, parameter("query", "{type: object, additionalProperties: {type: integer}}"), deep, ids)
    engine.handlers.list_things = lambda color, filter, ids: {"value": [color, filter, ids]}  # type: ignore[attr-defined]  # noqa: A006
    assert engine.request(f"/x?{name}=1").json() == {"value": [{name: 1}, None, None]}


def test_boolean_schemas_of_openapi_3_1_are_parameters(engine: Engine) -> None:
    engine.write(SHARED.replace("3.0.3", "3.1.0"), "openapi.yaml")
    echo(engine, parameter("query", "true"), parameter("query", "false", name="never"))
    engine.handlers.list_things = lambda color: {"value": color}  # type: ignore[attr-defined]
    assert engine.request("/x?color=1").json() == {"value": "1"}
    assert faults(engine.request("/x?never=1")) == ["/query/never NOT_ALLOWED"]


def test_parameters_get_the_default_of_their_composed_schema(engine: Engine) -> None:
    echo(engine, parameter("query", "{allOf: [{type: integer, default: 5}, {maximum: 9}]}"))
    assert engine.request("/x").json() == {"value": 5}


def test_defaults_of_parameters_must_match_their_schema(engine: Engine) -> None:
    echo(engine, parameter("query", "{type: integer, maximum: 5, default: 9}"))
    with pytest.raises(ContractError) as caught:
        engine.start()
    assert "the default of the parameter 'color' does not match its schema" in str(caught.value)


@pytest.mark.parametrize(
    ("more", "schema", "query", "value"),
    [
        ("", "{type: array, prefixItems: [{type: integer}, {type: string}]}", "color=1&color=5", [1, "5"]),
        ("", "{prefixItems: [{type: integer}], items: {type: string}, type: array}", "color=1&color=5", [1, "5"]),
        ("style: deepObject", "{type: object, patternProperties: {'^a': {type: integer}}}", "color[ab]=1", {"ab": 1}),
    ],
)
def test_texts_have_the_types_of_openapi_3_1(engine: Engine, more: str, schema: str, query: str, value: object) -> None:
    engine.write(SHARED.replace("3.0.3", "3.1.0"), "openapi.yaml")
    echo(engine, parameter("query", schema, more))
    response = engine.request(f"/x?{query}")
    assert (response.status_code, response.json()) == (200, {"value": value}), response.text


@pytest.mark.parametrize("more", ["style: deepObject", "explode: false", ""])
def test_each_member_of_an_alternative_has_its_own_notation(engine: Engine, more: str) -> None:
    kinds = (("integer", "string"), ("string", "integer"))
    objects = [f"{{type: object, properties: {{a: {{type: {a}}}, b: {{type: {b}}}}}}}" for a, b in kinds]
    echo(engine, parameter("query", f"{{oneOf: [{', '.join(objects)}]}}", more))
    queries = {"style: deepObject": "color[a]=1&color[b]=2", "explode: false": "color=a,1,b,2", "": "a=1&b=2"}
    assert engine.request(f"/x?{queries[more]}").json() == {"value": {"a": 1, "b": "2"}}


def test_each_item_of_an_alternative_has_its_own_notation(engine: Engine) -> None:
    engine.write(SHARED.replace("3.0.3", "3.1.0"), "openapi.yaml")
    kinds = (("integer", "string"), ("string", "integer"))
    lists = [f"{{type: array, prefixItems: [{{type: {a}}}, {{type: {b}}}]}}" for a, b in kinds]
    echo(engine, parameter("query", f"{{oneOf: [{', '.join(lists)}]}}"))
    assert engine.request("/x?color=1&color=2").json() == {"value": [1, "2"]}


def test_a_text_has_the_format_of_the_alternative_that_fits(engine: Engine) -> None:
    uuid = "{required: [c], properties: {b: {type: string, format: uuid}}}"
    echo(engine, parameter("query", f"{{type: object, anyOf: [{{required: [a]}}, {uuid}]}}", "style: deepObject"))
    assert engine.request("/x?color[a]=x&color[b]=1234").json() == {"value": {"a": "x", "b": "1234"}}
