"""Hostile, odd and large files get a verdict or a fault with file and line, and never end the process."""

from pathlib import Path

import pytest

from api import contract
from api.contract import ContractError
from api.contract.document.files import read

HEAD = "openapi: 3.1.0\ninfo: {title: t, version: '1'}\n"
PATHS = "paths:\n  /a:\n    get: {responses: {'200': {description: ''}}}\n"
DEEP = "must not be nested deeper than 100 levels"
CYCLE = "an alias must not be inside the value that it repeats"
NUMBER = "is not a number of JSON that fits in a double"
# Each line repeats the line before twice.
BOMB = "x0: &a0 {b: 1}\n" + "".join(f"x{n}: &a{n} {{b: *a{n - 1}, c: *a{n - 1}}}\n" for n in range(1, 60))
MERGES = "x0: &a0 {b: 1}\n" + "".join(f"x{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 60))
# Each line is short, but with its alias it is deeper than the line before.
CHAIN = "x0: &a0 [1]\n" + "".join(f"x{n}: &a{n} [[*a{n - 1}]]\n" for n in range(1, 60))


def faults_of(file: Path, text: str | bytes) -> list[str]:
    """Return the faults of a file with this content."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ContractError) as caught:
        read(file)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1\nb: " + "[" * 100_000, f"2: {DEEP}"),
        ("a: 1\nb: " + "{c: " * 100_000, f"2: {DEEP}"),
        ("a: 1\nb: " + "[" * 100 + "]" * 100, f"2: {DEEP}"),
        (CHAIN, f"51: {DEEP}"),
        (BOMB, "12: the aliases must not repeat more than 10000 values"),
        (MERGES, "12: the aliases must not repeat more than 10000 values"),
        ("a: 1\nb: &b [*b]\n", f"2: {CYCLE}"),
        ("a: 1\nb: &b\n  c: {d: *b}\n", f"2: {CYCLE}"),
        ("a: 1\nb: &b\n  <<: *b\n", f"2: {CYCLE}"),
        ("a: 1\nb: \x00", "2: not valid YAML: control characters are not allowed"),
        ("é: é\nb: \x07", "2: not valid YAML: control characters are not allowed"),
        (b"a: 1\nb: \xff", "2: not valid UTF-8"),
        ("a: 1\n---\nb: 1", "2: not valid YAML: found another document"),
        ('a: 1\nb: "\\ud800"', "2: not valid YAML: found invalid Unicode character escape code"),
        ("a: 1\nb: " + "9" * 5000, f"2: 99999999999999999999... {NUMBER}"),
        ("a: 1\nb: 0x" + "9" * 50_000, f"2: 0x999999999999999999... {NUMBER}"),
        ("a: 1\nb: 1e999", f"2: 1e999 {NUMBER}"),
        ("a: 1\nb: !!int 0x", f"2: 0x {NUMBER}"),
        ("a: 1\nb: !!float [1]", "2: not valid YAML: expected a scalar node, but found sequence"),
        ("a: 1\nb: !!bool {c: d}", "2: not valid YAML: expected a scalar node, but found mapping"),
        ("a: 1\nb: !!bool maybe", "2: 'maybe' must be true or false"),
    ],
)
def test_hostile_yaml_is_rejected_with_its_line(tmp_path: Path, text: str | bytes, fault: str) -> None:
    assert faults_of(tmp_path / "a.yaml", text) == [f"a.yaml:{fault}"]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ('{"a": 1,\n"b": ' + "[" * 100_000, [f"2: {DEEP}"]),
        ('{"a": 1,\n"b": ' + '{"c": ' * 100_000, [f"2: {DEEP}"]),
        ('{"a": 1,\n"b": ' + "[" * 100 + "]" * 100 + "}", [f"2: {DEEP}"]),
        ('{"a": "[{",\n"b": ' + "9" * 5000 + "}", [f"2: 99999999999999999999... {NUMBER}"]),
        ('{"a": 1,\n"b": [1e999, -Infinity]}', [f"2: 1e999 {NUMBER}", f"2: -Infinity {NUMBER}"]),
        ('{"a": "\\"",\n"\\u0061": 1,\n"b": {"a": "a"}}', ["2: duplicate key 'a'"]),
        ('{"a": 1,\n"b": "\\ud800"}', ["2: texts must not contain lone surrogates"]),
        ('{"a": 1,\n"\\ud800": 1}', ["2: texts must not contain lone surrogates"]),
        (b'{"a": 1,\n"b": "\xff"}', ["2: not valid UTF-8"]),
    ],
)
def test_hostile_json_is_rejected_with_its_line(tmp_path: Path, text: str | bytes, faults: list[str]) -> None:
    assert faults_of(tmp_path / "a.json", text) == [f"a.json:{fault}" for fault in faults]


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_files_may_have_100_levels(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    file.write_text("[" * 100 + "]" * 100)
    assert str(read(file)) == file.read_text()


def test_aliases_may_repeat_as_many_values_as_the_text_has_characters(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    part = f"a: &a [{'1,' * 900}]\nb: [{'*a,' * 11}]\n"
    assert faults_of(file, part) == ["a.yaml:1: the aliases must not repeat more than 10000 values"]
    file.write_text(part + "#" * 20_000)
    assert sum(map(len, read(file)["b"])) == 9_900


def test_faults_of_a_file_with_aliases_name_the_line(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    parts = "x-parts: &parts\n  200: {descripton: ''}\n"
    file.write_text(f"{HEAD}{parts}paths:\n  /a:\n    get:\n      responses:\n        <<: [*parts]\n")
    assert [str(fault) for fault in contract.check_file(file).faults] == [
        "a.yaml:4: GET /a: missing field 'description'",
        "a.yaml:4: GET /a: unknown field 'descripton'; did you mean 'description'?",
    ]
