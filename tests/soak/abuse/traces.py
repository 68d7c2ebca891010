"""The log and the database that a server leaves behind."""

import json
from collections import Counter

from tests.soak.abuse.marks import Marks
from tests.soak.abuse.server import Server

_EVENTS = {"contract_violation", "unhandled_error"}
# The hostile requests have forwarded headers, and their peer is not a trusted proxy.
_EXPECTED = {"forwarded_header_ignored"}


def faults(server: Server, marks: Marks, tokens: list[str]) -> tuple[Counter[str], dict[str, str]]:
    """Count the leaks, and return an example of each kind."""
    found, examples = Counter[str](), dict[str, str]()
    for line in server.log.splitlines():
        for fault in _of_line(line, marks):
            found[fault] += 1
            examples.setdefault(fault, line[:600].decode(errors="replace"))
    database = server.database
    for mark in marks.in_database(database):
        found["the database contains a mark"] += 1
        examples.setdefault("the database contains a mark", mark)
    # The signature is the secret part of an access token.
    secrets = [*server.secrets, *(token.rpartition(".")[2].encode() for token in tokens)]
    for name, data in (("the log", server.log), ("the database", database)):
        found[f"{name} contains a secret of the server"] += sum(secret in data for secret in secrets)
    return +found, examples


def _of_line(line: bytes, marks: Marks) -> list[str]:
    found = ["the log contains a mark"] if marks.in_log(line) else []
    try:
        facts = json.loads(line)
    except ValueError:
        return [*found, "a line is not JSON"]
    if facts.get("event") in _EVENTS:
        found.append(str(facts["event"]))
    if "exception" in facts or b"Traceback" in line:
        found.append("a traceback")
    if facts.get("level") != "info" and facts.get("event") not in _EXPECTED:
        found.append(f"a line of level {facts.get('level')}")
    return found
