"""The parser accepts JSON in any formatting, and rejects malformed and ambiguous JSON."""

import json
import re
import tracemalloc
from typing import Any

import pytest

from api.contract.schema.strict_json import MAX_DEPTH, parse
from api.errors import InvalidInput
from tests.support.random_json import RandomJson

NAN = "NaN and Infinity are not valid JSON."
DEEP, UTF8 = "Must not be nested deeper than 32 levels.", "Must be valid UTF-8."
HUGE, ODD = "Numbers must fit in a double.", "Must not contain NUL or lone surrogates."
ODD_NAME, MARK = "Names must not contain NUL or lone surrogates.", "Must not begin with a byte order mark."
SYNTAX, TWICE = "Not valid JSON at line", "Names must be unique within an object."
FAULTS: list[tuple[str, str]] = [
    *(
        (text, SYNTAX)
        for text in (",", "tru", "01", "+1", "1.", ".5", "0x1", "'a'", '"a', "[1,]", '{"a" 1}', "{a: 1}", "[\ufeff1]")
    ),
    *((f'"{text}"', SYNTAX) for text in ("\x00", "\x1f", "\n", "\\x", "\\u12", "\\U0001f600")),
    *((text, NAN) for text in ("NaN", "Infinity", "-Infinity")),
    *((text, HUGE) for text in (str(2**1024), str(-(2**1024)), "1" * 310, "1" * 5000, f"-{'1' * 5000}")),
    *((text, HUGE) for text in ("1e309", "-1e309", f"{'1' * 310}.0", f"{'1' * 300}e50")),
    *((f'"{text}"', ODD) for text in ("\\u0000", "\\ud800", "a\\uDFFF", "\\ude00\\ud83d", "\\ud83d\\u0041")),
    *((f'{{"{text}": 1}}', ODD_NAME) for text in ("\\u0000", "\\udfff")),
    *((text, TWICE) for text in ('{"a": 1, "a": 1}', '{"a": 1, "\\u0061": 2}', '{"": {}, "": {}}')),
    *((f"{'[' * levels}{']' * levels}", DEEP) for levels in (MAX_DEPTH + 1, 200, 100_000)),
    ('{"a":' * 33 + "1" + "}" * 33, DEEP),
    *((text, UTF8) for text in ("\udcff", '"\udced\udca0\udc80"', '"\udcc0\udc80"')),
]
LIMITS: list[tuple[str, Any]] = [
    *(
        (str(number), number)
        for number in (2**63, 2**64 + 1, -(2**63) - 1, -(2**70), 10**308, 0, 10**18 - 1, -(10**17))
    ),
    ("-0", 0),
    ("1e308", 1e308),
    ("1E-400", 0.0),
    ('"\\ud83d\\ude00\\u0001\\u00e9\\/"', "\U0001f600\x01\u00e9/"),
    ('"\\\\u0000"', "\\u0000"),
    ('"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["', "[" * 36),
    (f"[{','.join(['{}'] * 50)}]", [{}] * 50),
]
PLACEHOLDER = "placeholder"
NUMBERS = {"TOO_LARGE", "TOO_SMALL"}
CODES = {TWICE: {"REPEATED"}, ODD: {"WRONG_FORMAT"}, ODD_NAME: {"WRONG_FORMAT"}, HUGE: NUMBERS}
"""The codes of the details that do not concern the syntax."""


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("\ufeff{}", [("/body", "MALFORMED_JSON", MARK)]),
        (r'{"a": "\u0000"}', [("/body/a", "WRONG_FORMAT", ODD)]),
        (
            r'{"a": [1, "\ud800"], "b": "\u0000"}',
            [("/body/a/1", "WRONG_FORMAT", ODD), ("/body/b", "WRONG_FORMAT", ODD)],
        ),
        (r'{"a/b~c": "\u0000"}', [("/body/a~1b~0c", "WRONG_FORMAT", ODD)]),
        (r'{"a": {"\u0000": 1}}', [("/body/a", "WRONG_FORMAT", ODD_NAME)]),
        (r'{"a": {"\n": "\u0000"}}', [("/body/a", "WRONG_FORMAT", ODD)]),
        (r'{"a": {"%s": "\u0000"}}' % ("b" * 1000), [("/body/a", "WRONG_FORMAT", ODD)]),
        (f'{{"a": {2**1024}}}', [("/body/a", "TOO_LARGE", HUGE)]),
        (f'{{"a": -{2**1024}}}', [("/body/a", "TOO_SMALL", HUGE)]),
        ("[0, 1e0000400, -1E+400]", [("/body/1", "TOO_LARGE", HUGE), ("/body/2", "TOO_SMALL", HUGE)]),
    ],
)
def test_a_value_that_cannot_be_stored_is_named(text: str, faults: list[tuple[str, str, str]]) -> None:
    with pytest.raises(InvalidInput) as error:
        parse(text.encode())
    assert error.value.faults == faults


def storable_value(rng: RandomJson) -> Any:
    """Return a random JSON value within all limits."""
    value = rng.value()
    while re.search(r"\\x00|[0-9]{19}", repr(value)):
        value = rng.value()
    return value


def wrap_placeholder(rng: RandomJson, depth: int = 3) -> Any:
    """Return a random JSON value that contains the placeholder."""
    if not depth or rng.happens(0.2):
        return PLACEHOLDER
    siblings = {name: storable_value(rng) for name in ("x", "y") if rng.happens(0.5)}
    return rng.choice(
        [
            {**siblings, "z": wrap_placeholder(rng, depth - 1)},
            [*siblings.values(), wrap_placeholder(rng, depth - 1)],
        ]
    )


def serialize(rng: RandomJson, value: Any) -> str:
    """Serialize the value with random whitespace and escapes."""
    text = json.dumps(value, ensure_ascii=rng.happens(0.5), indent=rng.choice([None, None, 1, "\t"]))
    return rng.choice(["", " ", "\r\n"]) + text + rng.choice(["", "\n"])


def test_values_at_the_limits_are_parsed(rng: RandomJson) -> None:
    for text, value in LIMITS * 20:
        frame = wrap_placeholder(rng)
        read = parse(serialize(rng, frame).replace(f'"{PLACEHOLDER}"', text).encode())
        assert repr(read) == repr(frame).replace(repr(PLACEHOLDER), repr(value))


def test_a_single_fault_anywhere_is_rejected(rng: RandomJson) -> None:
    for text, detail in FAULTS * 20:
        body = serialize(rng, wrap_placeholder(rng)).replace(f'"{PLACEHOLDER}"', text)
        with pytest.raises(InvalidInput) as error:
            parse(body.encode(errors="surrogateescape"))
        (fault,) = error.value.faults
        assert fault.detail.startswith(detail)
        assert fault.code in CODES.get(detail, {"MALFORMED_JSON"})


def test_valid_json_is_parsed_unchanged(rng: RandomJson) -> None:
    for value in (storable_value(rng) for _ in range(500)):
        assert repr(parse(serialize(rng, value).encode())) == repr(value)


@pytest.mark.parametrize("levels", [1, 31, MAX_DEPTH])
def test_nesting_up_to_the_limit_is_parsed(levels: int) -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        inner = "1" if closing == "}" else ""
        assert json.dumps(parse(f"{opening * levels}{inner}{closing * levels}".encode())).count(closing) == levels


@pytest.mark.parametrize("text", ["[" * 33, '{"a":' * 33, "[" * 50_000, '"\\"", ' + "[" * 33, "tru" + "[" * 33])
def test_a_malformed_text_that_is_too_deep_is_not_decoded(text: str) -> None:
    # A decoder recurses for each level. At the recursion limit, finalizers of other objects fail, too.
    with pytest.raises(InvalidInput) as error:
        parse(text.encode())
    assert [fault.detail for fault in error.value.faults] == [DEEP]
    assert error.value.__context__ is None


def test_many_escapes_take_little_memory() -> None:
    text = b'["' + rb"\"" * 100_000 + b'"' + b",[]" * 33 + b"]"
    tracemalloc.start()
    parse(text)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5 * len(text)


@pytest.mark.parametrize("text", ['"' + "[" * 50_000, '"\\', '"\\"' + "[" * 33, "]" * 100 + "[" * 33])
def test_brackets_in_strings_are_not_levels(text: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse(text.encode())
    assert error.value.faults[0].detail.startswith(SYNTAX)


def test_duplicate_names_are_rejected_beside_other_colons() -> None:
    for text in ('{"a":1,"a":2}', '{"a" :1,"a":2}', '{"a":{"b":1},"c":[{"d":1,"d":2}]}', '{"a":":","a":"::"}'):
        with pytest.raises(InvalidInput) as error:
            parse(text.encode())
        assert error.value.faults[0].code == "REPEATED"
    assert parse(b'{"a":":"}') == {"a": ":"}


def test_numbers_and_literals_keep_their_exact_value() -> None:
    for text in ("9007199254740993", "-0", "0.1", "[1.0]", "null", "true", '{"a":[]}', str(2**63 - 1)):
        assert repr(parse(text.encode())) == repr(json.loads(text))


@pytest.mark.parametrize("body", [b"", b" ", b"\r\n"])
def test_an_empty_text_is_called_empty(body: bytes) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse(body)
    assert [fault.detail for fault in raised.value.faults] == ["Must not be empty."]
