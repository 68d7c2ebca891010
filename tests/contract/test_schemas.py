"""JSON Schema as OpenAPI 3.0 and 3.1 define it: directions, patterns, numbers, equality, formats and references."""

from typing import Any

import pytest

from api.contract.document.model import ContractError
from api.contract.schema.formats import TypedFormat
from api.contract.schema.request_schema import faults_of
from tests.support.engine import Engine
from tests.support.schemas import NEW, OLD, post, schemas

# ruff: noqa: E501 - a table is clearer with one row a line


def accepts(schema: Any, value: Any, version: str = NEW, components: Any = None, formats: Any = None) -> bool:
    """Return True if a request may have the value. The predicate and jsonschema must agree."""
    validator = schemas(version, components, formats).request_validator(schema)
    assert validator.accepts(value) is validator.exact.is_valid(value)
    return not validator.errors(value)


def faults(schema: Any, value: Any, version: str = NEW) -> list[tuple[str, str, str]]:
    """Return the faults of a value as (pointer, code, detail)."""
    found = faults_of(schemas(version).request_validator(schema).errors(value), "/body")
    return [(fault.pointer, fault.code, fault.detail) for fault in found]


@pytest.mark.parametrize(
    ("schema", "value", "old", "new"),
    [
        ({"type": "string", "nullable": True}, None, True, False),
        ({"type": "string", "nullable": True, "enum": ["a"]}, None, False, False),
        ({"type": "string", "nullable": True, "enum": ["a", None]}, None, True, False),
        ({"type": ["string", "null"]}, None, True, True),
        ({"type": "integer"}, 1.0, False, True),
        ({"$ref": "#/components/schemas/Word", "maxLength": 1}, "ab", True, False),
        ({"$ref": "#/components/schemas/Word", "maxLength": 1}, 5, False, False),
        ({"minimum": 1, "exclusiveMinimum": True}, 1, False, None),
        ({"exclusiveMinimum": 1}, 1, True, False),
        ({"const": 1}, 2, True, False),
        ({"prefixItems": [{"type": "string"}]}, [1], True, False),
        ({"if": {"type": "string"}, "then": {"maxLength": 1}}, "ab", True, False),
        ({"properties": {"a": True}, "unevaluatedProperties": False}, {"b": 1}, None, False),
        ({"contains": {"type": "string"}}, [1], True, False),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, True, False),
        ({"propertyNames": {"maxLength": 1}}, {"ab": 1}, True, False),
        ({"patternProperties": {"^x": {"type": "string"}}}, {"x": 1}, False, False),
    ],
)
def test_the_version_of_the_document_determines_the_dialect(
    schema: Any, value: Any, old: bool | None, new: bool | None
) -> None:
    components = {"Word": {"type": "string"}}
    for version, expected in ((OLD, old), (NEW, new)):
        assert expected is None or accepts(schema, value, version, components) is expected


def test_anchors_and_addresses_of_schemas_are_resolved() -> None:
    components = {
        "Tree": {
            "$id": "https://example.com/tree",
            "$dynamicAnchor": "node",
            "type": "object",
            "properties": {"parts": {"type": "array", "items": {"$dynamicRef": "#node"}}},
        },
        "StrictTree": {
            "$id": "https://example.com/strict-tree",
            "$dynamicAnchor": "node",
            "$ref": "tree",
            "unevaluatedProperties": False,
        },
        "Named": {"$anchor": "named", "type": "string"},
    }
    inner: Any = {"parts": [{"part": []}]}
    assert accepts({"$ref": "#/components/schemas/Tree"}, inner, NEW, components)
    assert not accepts({"$ref": "https://example.com/strict-tree"}, inner, NEW, components)
    assert not accepts({"$ref": "#named"}, 1, NEW, components)
    made = schemas(NEW, components)
    assert made.resolve({"$ref": "#named"}) is components["Named"]
    assert made.resolve({"$ref": "https://example.com/tree"}) is components["Tree"]
    assert made.resolve(True) is True
    # Schemas of responses are looked up by their references, and the anchor is known in the tree alone.
    with pytest.raises(ContractError, match="reference '#node' not found"):
        made.lookup("#node")


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"$ref": "#nothing"}, "reference '#nothing' not found"),
        ({"anyOf": [{"$ref": "other.yaml"}]}, "reference 'other.yaml' not found"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "is not supported; use JSON Schema 2020-12"),
        ({"properties": {"a": {"pattern": r"^a\Z"}}}, "is not a regular expression of ECMA-262: Invalid character"),
        ({"patternProperties": {"(?i)a": {}}}, "is not a regular expression of ECMA-262: Invalid group modifier"),
        ({"properties": {"a": {"type": "integer", "default": "x"}}}, "the default of the property 'a' does not match"),
    ],
)
def test_schemas_that_cannot_be_served_are_rejected(schema: Any, message: str) -> None:
    with pytest.raises(ContractError) as caught:
        schemas(NEW).request_validator(schema)
    assert message in str(caught.value)


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_property_belongs_to_one_direction(version: str) -> None:
    schema = {
        "type": "object",
        "required": ["id", "secret"],
        "properties": {"id": {"type": "string", "readOnly": True}, "secret": {"type": "string", "writeOnly": True}},
    }
    made = schemas(version, {"Base": schema})
    derived = {"allOf": [{"$ref": "#/components/schemas/Base"}, {"required": ["id", "secret"]}]}
    for part in (schema, derived):
        request, response = made.request_validator(part), made.response_validator(part)
        assert not request.errors({"secret": ""})
        assert not response.errors({"id": ""})
        assert [(error.validator, *error.path) for error in request.errors({"id": "", "secret": ""})] == [
            ("readOnly", "id")
        ]
        assert [(error.validator, *error.path) for error in response.errors({"id": "", "secret": ""})] == [
            ("writeOnly", "secret")
        ]
        assert [error.validator_value for error in request.errors({})] == [["secret"]] * (2 if part is derived else 1)


@pytest.mark.parametrize("version", [OLD, NEW])
def test_the_direction_of_a_property_may_be_in_its_reference(version: str) -> None:
    reference = {"$ref": "#/components/schemas/Id"}
    made = schemas(version, {"Id": {"type": "string", "readOnly": True}})
    for part in (reference, {"allOf": [reference]}):
        validator = made.request_validator({"type": "object", "required": ["id"], "properties": {"id": part}})
        assert not validator.errors({})
        assert [error.validator for error in validator.errors({"id": "a"})] == ["readOnly"]


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        (r"^\d+$", ["12"], ["12\n", "\u0663"]),
        (r"^[0-9]+$", ["12"], ["12\n", "\u0663"]),
        (r"^\w$", ["a", "_"], ["\u00e9"]),
        (r"^\s$", [" ", "\ufeff", "\u2003"], ["\x1c", "a"]),
        (r"^.$", ["a", "\U0001f600"], ["\u2028", "\r"]),
        (r"^\cA$", ["\x01"], ["A"]),
        (r"^\u0041\u{1F600}$", ["A\U0001f600"], ["A"]),
        (r"^\p{L}+$", ["\u00e9a"], ["1"]),
        (r"^(?<x>a|b)\k<x>$", ["aa", "bb"], ["ab"]),
        (r"^(?<=x*)a$", ["a"], ["b"]),
        (r"^[\w-.]+@\-$", ["a-.@-"], ["a"]),
        (r"^{id}\_[^]$", ["{id}_\n"], ["id"]),
        (r"^[a[]{2}$", ["[a"], ["]a"]),
    ],
)
def test_patterns_are_those_of_ecma_262(pattern: str, matching: list[str], others: list[str]) -> None:
    for schema in ({"type": "string", "pattern": pattern}, {"patternProperties": {pattern: False}}):
        negative = "patternProperties" in schema
        for text in [*matching, *others]:
            value = {text: 1} if negative else text
            assert accepts(schema, value) is ((text in matching) is not negative), text


def test_a_text_that_is_too_long_is_not_searched() -> None:
    # Each further character doubles the time of the search.
    made = schemas(OLD).request_validator({"type": "string", "maxLength": 9, "pattern": "^(a+)+$"})
    assert [error.validator for error in made.errors("a" * 99 + "b")] == ["maxLength"]


def test_a_value_has_at_most_a_thousand_errors() -> None:
    row = {"type": "array", "items": {"type": "string"}}
    made = schemas(NEW, {"Row": row})
    assert len(made.request_validator(row).errors([1] * 5000)) == 1000
    table = {"type": "array", "items": {"$ref": "#/components/schemas/Row"}}
    assert len(made.request_validator(table).errors([[1] * 5000])) == 1000


def test_a_lone_surrogate_in_a_response_is_compared_with_a_pattern() -> None:
    assert schemas(OLD).response_validator({"type": "string", "pattern": "^a$"}).errors("\ud800")


@pytest.mark.parametrize(
    ("number", "factor", "fits"),
    [
        (19.99, 0.01, True),
        (0.3, 0.1, True),
        (19.995, 0.01, False),
        (4, 2, True),
        (5, 2, False),
        (1e308, 0.123456789, False),
        (1e-300, 1e-308, True),
        (9007199254740993, 1e-320, True),
        (2**63, 0.5, True),
        (10, 2.5, True),
        (float("inf"), 1, False),
        (float("nan"), 0.1, False),
        (10**4000, 3, False),
    ],
)
def test_multiples_are_those_of_the_decimal_notation(number: float, factor: float, fits: bool) -> None:
    for version in (OLD, NEW):
        assert accepts({"multipleOf": factor}, number, version) is fits


@pytest.mark.parametrize(
    ("left", "right", "are_equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ([1], [True], False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"a": True}, False),
        ([], {}, False),
        ([{"a": [0]}], [{"a": [0.0]}], True),
        ("1", 1, False),
        (None, False, False),
    ],
)
def test_values_are_compared_as_json(left: Any, right: Any, are_equal: bool) -> None:
    assert accepts({"enum": [left]}, right) is are_equal
    assert accepts({"const": left}, right) is are_equal
    assert accepts({"uniqueItems": True}, [left, right]) is not are_equal
    assert accepts({"uniqueItems": True}, [[left], "x", [right]]) is not are_equal


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("byte", ["YWI=", ""], ["YW", "!", "YWI"]),
        ("base64url", ["YWI", "_-8="], ["+/8="]),
        ("char", ["a"], ["", "ab"]),
        ("date", ["2024-02-29"], ["2023-02-29", "2024-2-9", "20240229"]),
        (
            "date-time",
            ["2024-02-29T12:00:00.5Z", "2024-02-29t12:00:00+01:00"],
            ["2024-02-29T12:00:00", "2024-02-30T12:00:00Z"],
        ),
        ("time", ["12:00:00Z", "23:59:59.9-01:30"], ["12:00:00", "24:00:00Z", "12:00Z"]),
        ("duration", ["P1D", "PT1H30M", "P4W"], ["P", "PT", "1D", "P1DT"]),
        (
            "email",
            ["a.b@example.com", '"a b"@example.com', "a@[127.0.0.1]", "a@[IPv6:::1]"],
            ["a", "a@", ".a@b.c", "a@b..c"],
        ),
        ("idn-email", ["\u00e9@\u00e9.fr"], ["\u00e9"]),
        ("hostname", ["a", "a-b.example", "xn--bcher-kva.example"], ["-a", "a_b", "a..b", "a" * 64, "xn--x"]),
        ("idn-hostname", ["b\u00fccher.example"], ["\u2488", "a.", ""]),
        ("ipv4", ["127.0.0.1"], ["127.0.0.01", "1.2.3", "256.1.1.1"]),
        ("ipv6", ["::1", "1:2::3"], ["::1%eth0", "1::2::3", "12345::"]),
        (
            "uri",
            ["https://a.example/b?c#d", "urn:a:b", "http://[::1]:80/"],
            ["/a", "a b:c", "http://[::g]/", "http://a/{b}"],
        ),
        ("uri-reference", ["/a", "a", "", "#b", "//a/b", "?c=d"], ["\\a", "a:b c", "%zz"]),
        ("iri", ["https://\u00e9.example/\u00e9"], ["/\u00e9"]),
        ("iri-reference", ["/\u00e9"], ["\\\u00e9"]),
        ("uri-template", ["/a/{b}{?c,d*}", ""], ["/a/{b", "/a/{}"]),
        ("uuid", ["019b2c9e-6d5c-7c3a-9d4e-0f6f3a1b2c3d"], ["019b2c9e6d5c7c3a9d4e0f6f3a1b2c3d"]),
        ("json-pointer", ["", "/a~0b/c"], ["a", "/~2"]),
        ("relative-json-pointer", ["0", "1/a", "0#"], ["/a", "01/a"]),
        ("regex", [r"^\p{L}$", "[a-z]"], ["(", r"\Z", "a" * 1001]),
        ("int8", [-128, 127, 1.0, "x"], [128, 1.5]),
        ("int16", [-(2**15), 2**15 - 1], [-(2**15) - 1, 2**15]),
        ("int32", [-(2**31), 2**31 - 1], [-(2**31) - 1, 2**31]),
        ("int64", [-(2**63), 2**63 - 1], [-(2**63) - 1, 2**63]),
        ("uint8", [0, 255], [-1, 256]),
        ("uint16", [0, 2**16 - 1], [-1, 2**16]),
        ("uint32", [0, 2**32 - 1], [-1, 2**32]),
        ("uint64", [0, 2**64 - 1], [-1, 2**64]),
        ("double-int", [2**53 - 1], [2**53]),
        ("float", [1.5, 3.4e38], [3.5e38]),
        ("double", [1e308, 2**1000], [2**1024]),
        ("password", ["x", ""], []),
        ("unheard-of", ["x", 1], []),
    ],
)
def test_formats_are_checked(name: str, right: list[Any], wrong: list[Any]) -> None:
    for value in right:
        assert accepts({"format": name}, value), value
    for value in wrong:
        assert not accepts({"format": name}, value), value
        kind = "string" if isinstance(value, str) else "number"
        assert not accepts({"type": kind, "format": name}, value, OLD), value


def test_a_format_of_a_service_can_check_numbers() -> None:
    even = {
        "even": TypedFormat(lambda number: number % 2 == 0, "integer"),
        "half": TypedFormat(lambda n: n < 0.5, "number"),
    }
    for kind in ("integer", "number"):
        schema = {"type": kind, "format": "even"}
        assert [accepts(schema, number, OLD, formats=even) for number in (2, 3)] == [True, False]
    assert accepts({"type": "number", "format": "even"}, 2.0, OLD, formats=even)
    whole = {"whole": TypedFormat(lambda number: type(number) is int, "integer")}
    assert [accepts({"format": "whole"}, value, NEW, formats=whole) for value in (2, 2.0, 2.5, True, "x")] == [
        True,
        True,
        False,
        True,
        True,
    ]
    assert [accepts({"format": "half"}, number, NEW, formats=even) for number in (0.25, 0.75, "x")] == [
        True,
        False,
        True,
    ]


CLOSED = {"properties": {"refresh_token": True, "is_on": True, "username": True}, "additionalProperties": False}
ALLOWED = "Allowed: refresh_token, is_on, username."


@pytest.mark.parametrize(
    ("schema", "value", "found"),
    [
        ({"type": ["string", "null"]}, 1, ("", "WRONG_TYPE", "Must be a string or null.")),
        ({"type": "null"}, 1, ("", "WRONG_TYPE", "Must be null.")),
        ({"const": {"a": 1}}, 1, ("", "NOT_ALLOWED", 'Must be {"a": 1}.')),
        ({"enum": ["a", None, True]}, 1, ("", "NOT_ALLOWED", "Must be one of: a, null, true.")),
        ({"exclusiveMinimum": 1}, 1, ("", "TOO_SMALL", "Must be greater than 1.")),
        ({"exclusiveMaximum": 1}, 1, ("", "TOO_LARGE", "Must be less than 1.")),
        ({"multipleOf": 2}, 1, ("", "NOT_ALLOWED", "Must be a multiple of 2.")),
        ({"minProperties": 1}, {}, ("", "TOO_FEW", "Must have at least 1 property.")),
        ({"maxProperties": 0}, {"a": 1}, ("", "TOO_MANY", "Must have at most 0 properties.")),
        ({"prefixItems": [True], "items": False}, [1, 2], ("", "TOO_MANY", "Must have at most 1 item.")),
        ({"not": {}}, 1, ("", "NOT_ALLOWED", "Must not match the schema that the contract excludes.")),
        ({"properties": {"a": False}}, {"a": 1}, ("/a", "NOT_ALLOWED", "The contract allows no value here.")),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, ("/b", "REQUIRED", "This field is required beside others.")),
        ({"dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1}, ("/b", "REQUIRED", "This field is required.")),
        ({"additionalProperties": False}, {"secret": 1}, ("", "UNKNOWN", "Unknown property. Allowed: none.")),
        (CLOSED, {"refreshToken": 1, "is-on": 2, "secret": 3}, ("", "UNKNOWN", f"Unknown property; did you mean refresh_token, is_on? {ALLOWED}")),
        (CLOSED, {"user_name": 1, "username": 2}, ("", "UNKNOWN", f"Unknown property. {ALLOWED}")),
        ({"properties": {"inside": CLOSED}}, {"inside": {"IsOn": 1}}, ("/inside", "UNKNOWN", f"Unknown property; did you mean is_on? {ALLOWED}")),
        ({"unevaluatedProperties": False}, {"a": 1}, ("", "UNKNOWN", "Unknown property.")),
        ({"propertyNames": {"maxLength": 1}}, {"ab": 1}, ("", "NOT_ALLOWED", "The names of all properties must match the contract.")),
        ({"if": True, "then": {"type": "string"}}, 1, ("", "WRONG_TYPE", "Must be a string.")),
        ({"if": False, "else": {"items": {"maximum": 1}}}, [2], ("/0", "TOO_LARGE", "Must be at most 1.")),
        ({"contains": {"type": "string"}}, [1], ("", "TOO_FEW", "Must have at least 1 item of the kind that the contract requires.")),
        ({"contains": {"type": "string"}, "maxContains": 1}, ["a", "b"], ("", "TOO_MANY", "Must have at most 1 item of the kind that the contract limits.")),
        ({"unevaluatedItems": False}, [1], ("", "TOO_MANY", "Must not have more items than the contract describes.")),
        ({"properties": {"a": {"readOnly": True}}}, {"a": 1}, ("/a", "NOT_ALLOWED", "This property is read-only.")),
        ({"anyOf": [{"type": "string", "maxLength": 1}, {"type": "null"}]}, "ab", ("", "TOO_LONG", "Must be at most 1 character.")),
        ({"anyOf": [{"minimum": 2}, {"minimum": 3}]}, 1, ("", "NOT_ALLOWED", "Must match one of the 2 alternatives in the contract.")),
        ({"oneOf": [True, True]}, 1, ("", "NOT_ALLOWED", "Must match exactly one of the 2 alternatives in the contract.")),
        ({"anyOf": [False]}, 1, ("", "NOT_ALLOWED", "The contract allows no value here.")),
    ],
)  # fmt: skip
def test_each_keyword_has_a_fault(schema: Any, value: Any, found: tuple[str, str, str]) -> None:
    pointer, code, detail = found
    assert faults(schema, value) == [(f"/body{pointer}", code, detail)]


def test_an_excluded_bound_is_named_in_openapi_3_0() -> None:
    found = faults({"maximum": 1, "exclusiveMaximum": True}, 1, OLD)
    assert found == [("/body", "TOO_LARGE", "Must be less than 1.")]


def test_the_faults_are_those_of_the_alternative_that_was_meant() -> None:
    cat = {"required": ["lives"], "properties": {"kind": {"enum": ["cat"]}, "lives": {"maximum": 9}}}
    dog = {"required": ["name"], "properties": {"kind": {"const": "dog"}, "name": {"type": "string"}}}
    schema = {"oneOf": [cat, dog]}
    assert faults(schema, {"kind": "cat", "lives": 10}) == [("/body/lives", "TOO_LARGE", "Must be at most 9.")]
    assert faults(schema, {"kind": "dog"}) == [("/body/name", "REQUIRED", "This field is required.")]


def test_faults_fit_the_contract_whatever_the_names_are() -> None:
    schema = {"additionalProperties": {"enum": ["x" * 600, "\n" * 600]}}
    for name in ("a\n", "x" * 1000):
        ((pointer, _, detail),) = faults(schema, {name: 1})
        assert (pointer, len(detail), "\n" in detail) == ("/body", 1000, False)


def test_unknown_members_of_an_open_schema_reach_the_handler(engine: Engine) -> None:
    body = {"a": 1, "b": {"c": [2]}}
    for schema in ("{}", "{type: object}", "{type: object, properties: {a: {type: integer}}}"):
        assert post(engine, schema, body) == body
