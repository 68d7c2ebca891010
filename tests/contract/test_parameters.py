"""Parsing and checking path and query parameters."""

import re
from typing import Any

import pytest

from api import contract
from api.config.paths import resource_dir
from tests.support.engine import ECHO, Engine, document

NOTHING_SENT = {"number": 7, "flag": None, "word": None}


@pytest.mark.parametrize(
    ("query", "read"),
    [
        ("", {}),
        ("number=0", {"number": 0}),
        ("number=-5", {"number": -5}),
        (f"number={2**63 - 1}", {"number": 2**63 - 1}),
        (f"number={2**70 + 1}", {"number": 2**70 + 1}),
        ("flag=true", {"flag": True}),
        ("flag=false&number=1", {"flag": False, "number": 1}),
        ("word=abc", {"word": "abc"}),
        ("word=%C3%A4", {"word": "ä"}),
    ],
)
def test_query_parameters_are_parsed_to_their_types(engine: Engine, query: str, read: dict[str, Any]) -> None:
    response = engine.request(f"/query?{query}")
    assert (response.status_code, response.json()) == (200, NOTHING_SENT | read)


WRONG_INTEGERS = [
    "",
    "1_0",
    "%EF%BC%91",
    "1%D9%A1",
    "%2B1",
    "+1",
    "01",
    "-0_1",
    "1.0",
    "1e3",
    "NaN",
    "Infinity",
    "0x1",
    str(2**1024),
]


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        *((f"number={text}", "/query/number WRONG_TYPE") for text in (*WRONG_INTEGERS, "9" * 5000)),
        ("number=-6", "/query/number TOO_SMALL"),
        *((f"flag={text}", "/query/flag WRONG_TYPE") for text in ("", "1", "True", "yes")),
        ("word=a1", "/query/word WRONG_FORMAT"),
        ("word=abcdef", "/query/word TOO_LONG"),
        ("word=%00", "/query/word WRONG_FORMAT"),
        ("word=a&word=a", "/query/word REPEATED"),
        ("number=1&num%62er=1", "/query/number REPEATED"),
        ("other=1", "/query UNKNOWN"),
        ("NUMBER=1", "/query UNKNOWN"),
        ("word=%FF", "/query WRONG_FORMAT"),
    ],
)
def test_invalid_query_parameters_are_rejected(engine: Engine, query: str, fault: str) -> None:
    response = engine.request(f"/query?{query}")
    assert response.status_code == 400
    assert [f"{fault['pointer']} {fault['code']}" for fault in response.json()["errors"]] == [fault]


def test_empty_pairs_are_skipped(engine: Engine) -> None:
    assert engine.request("/query?&number=1&&word=a&").json() == {"number": 1, "flag": None, "word": "a"}
    assert engine.request("/things?&").status_code == 200


def test_an_exploded_object_may_be_null(engine: Engine) -> None:
    closed = "{type: object, nullable: true, additionalProperties: false, properties: {a: {type: integer}}}"
    parameter = f"{{name: p, in: query, schema: {closed}}}"
    engine.write(document(f"{{tags: [a], operationId: echoObject, parameters: [{parameter}], {ECHO}}}"))
    engine.handlers.echo_object = lambda p: {"p": p}  # type: ignore[attr-defined]
    assert engine.request("/x?p=null").json() == {"p": None}
    assert engine.request("/x?a=1").json() == {"p": {"a": 1}}
    assert engine.request("/x?b=1").status_code == 400


def test_errors_list_the_allowed_parameters(engine: Engine) -> None:
    def detail(path: str) -> str:
        return str(engine.request(path).json()["errors"][0]["detail"])

    assert detail("/query?a=1") == "Unknown parameter. Allowed: flag, number, word."
    assert detail("/query?Number=1") == "Unknown parameter; did you mean number? Allowed: flag, number, word."
    assert detail("/things?%FF") == "This operation has no query parameters."
    assert detail("/query?number=x") == "Must be an integer."
    assert detail("/query?word=1") == "Must have the format that the contract requires."


def test_a_missing_required_parameter_is_reported(engine: Engine) -> None:
    assert engine.request("/must?word=a").json() == {"word": "a"}
    assert engine.request("/must").json()["errors"] == [
        {"pointer": "/query/word", "code": "REQUIRED", "detail": "This parameter is required."}
    ]


def test_path_parameters_are_parsed_to_their_types(engine: Engine) -> None:
    assert engine.request("/path/12/false/ab").json() == {"number": 12, "flag": False, "word": "ab"}


@pytest.mark.parametrize(
    ("path", "faults"),
    [
        *((f"/path/{text}/true/a", ["/path/number WRONG_TYPE"]) for text in WRONG_INTEGERS if text),
        ("/path/1/TRUE/a", ["/path/flag WRONG_TYPE"]),
        ("/path/1/true/a1", ["/path/word WRONG_FORMAT"]),
        ("/path/1/true/%00", ["/path/word WRONG_FORMAT"]),
        ("/path/x/x/1", ["/path/number WRONG_TYPE", "/path/flag WRONG_TYPE", "/path/word WRONG_FORMAT"]),
    ],
)
def test_invalid_path_parameters_are_rejected(engine: Engine, path: str, faults: list[str]) -> None:
    response = engine.request(path)
    assert response.status_code == 400
    assert [f"{fault['pointer']} {fault['code']}" for fault in response.json()["errors"]] == faults


def test_concrete_paths_take_precedence_over_templated_ones(engine: Engine) -> None:
    assert engine.request("/path/1/true/own").json() == {"own": True}
    assert engine.request("/path/1/true/other").status_code == 200


@pytest.mark.parametrize("place", ["query", "header", "cookie", "path"])
def test_the_published_pattern_allows_the_pointers_of_each_place(engine: Engine, place: str) -> None:
    parameter = f"{{name: x-word, in: {place}, required: true, schema: {{type: integer}}}}"
    address = "/a/{x-word}" if place == "path" else "/a/b"
    engine.write(document(f"{{tags: [a], operationId: echoWord, parameters: [{parameter}], {ECHO}}}", address))
    engine.handlers.echo_word = lambda x_word: {"word": x_word}  # type: ignore[attr-defined]
    (fault,) = engine.request("/a/b").json()["errors"]
    assert fault["pointer"] == f"/{place}/x-word"
    schemas = contract.load(resource_dir("openapi")).document["components"]["schemas"]
    assert re.search(schemas["Fault"]["properties"]["pointer"]["pattern"], fault["pointer"])
