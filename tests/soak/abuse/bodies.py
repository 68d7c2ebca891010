"""Bodies that are nearly JSON, or JSON with more than one meaning."""

import json
from collections.abc import Callable
from random import Random

Form = list[tuple[str, str]]
"""The members of an object as JSON texts, in order, so that a name can occur twice."""

_VALUES = [
    "null", "true", "0", "-0", "1e999", "-1E-999", "1.", ".5", "01", "+1", "0x10", "NaN", "-Infinity",
    "9" * 30, "9" * 5000, "9223372036854775808", "{}", "[]", '""', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"',
    '"\\x41"', '"\\u12"', '"\n"', "'single'", '"\U0001f600"', '"\u202e\u2066"', "undefined", "/* */1", "[1,]",
    "[" * 31 + "]" * 31, "[" * 33 + "]" * 33, "[" * 20_000 + "]" * 20_000, '{"a":' * 3000 + "1" + "}" * 3000,
    '{"$ref":"#"}', '{"__proto__":{}}', '{"a":1,"a":2}', '"' + "x" * 300 + '"', '"' + "\\ud83d\\ude00" * 129 + '"',
]  # fmt: skip
_NAMES = ["__proto__", "constructor", "role", "is_admin", "id", "user_id", "password_hash", "USERNAME", "user name", ""]
_CODINGS = ["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7", "cp037", "latin-1"]
_PIECES = [
    b"\x00",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    b"\\",
    b'"',
    b"{",
    b"]",
]


def mutated(rng: Random, form: Form) -> bytes:
    """Return a valid body after one to three mutations of its grammar, and often some of its bytes."""
    members = list(form)
    for _ in range(rng.randint(1, 3)):
        rng.choice(_GRAMMAR)(rng, members)
    space = rng.choice(["", "", " ", "\r\n\t", "\u00a0", "\x0b"])
    text = "{" + ",".join(f"{name}{space}:{value}" for name, value in members) + "}"
    text = rng.choice([text, text, text, text, f"[{text}]", json.dumps(text), f"{text}{text}", f"{text},", f"{text}//"])
    data = text.encode(rng.choice(_CODINGS) if rng.random() < 0.1 else "utf-8", "replace")
    for _ in range(rng.choice([0, 0, 1, 1, 2, 5])):
        data = rng.choice(_BYTES)(rng, data)
    return data


def _drop(rng: Random, members: Form) -> None:
    if members:
        members.pop(rng.randrange(len(members)))


def _double(rng: Random, members: Form) -> None:
    if members:
        name, value = rng.choice(members)
        members.insert(rng.randint(0, len(members)), (name, rng.choice([value, rng.choice(_VALUES)])))


def _replace(rng: Random, members: Form) -> None:
    if members:
        place = rng.randrange(len(members))
        members[place] = (members[place][0], rng.choice(_VALUES))


def _rename(rng: Random, members: Form) -> None:
    if members:
        place = rng.randrange(len(members))
        members[place] = (json.dumps(rng.choice(_NAMES)), members[place][1])


def _add(rng: Random, members: Form) -> None:
    members.append((json.dumps(rng.choice(_NAMES)), rng.choice(_VALUES)))


def _hide(rng: Random, members: Form) -> None:
    """Spell the same member with an escape."""
    if members:
        place = rng.randrange(len(members))
        name, value = members[place]
        members[place] = (f'"\\u{ord(name[1:2]):04x}{name[2:]}', value)


def _crowd(rng: Random, members: Form) -> None:
    members.extend((f'"m{number}"', "1") for number in range(rng.choice([10, 500, 6000])))


_GRAMMAR: list[Callable[[Random, Form], None]] = [_drop, _double, _replace, _rename, _add, _hide, _crowd]


def _flip(rng: Random, data: bytes) -> bytes:
    place = rng.randint(0, len(data))
    return data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]


def _insert(rng: Random, data: bytes) -> bytes:
    place = rng.choice([0, rng.randint(0, len(data)), len(data)])
    return data[:place] + rng.choice(_PIECES) + data[place:]


def _cut(rng: Random, data: bytes) -> bytes:
    start = rng.randint(0, len(data))
    return data[:start] + data[start + rng.randint(0, 9) :]


def _end(rng: Random, data: bytes) -> bytes:
    return data[: rng.randint(0, len(data))]


def _repeat(rng: Random, data: bytes) -> bytes:
    start = rng.randint(0, len(data))
    return data[:start] + data[start : start + rng.randint(1, 40)] * 2 + data[start:]


_BYTES: list[Callable[[Random, bytes], bytes]] = [_flip, _insert, _cut, _end, _repeat]
