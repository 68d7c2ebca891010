"""Judge the server's reaction to an attack by HTTP and the contract."""

import json
from typing import NamedTuple

from api import contract
from api.config.paths import resource_dir
from tests.soak.abuse.attacks import Attack
from tests.soak.abuse.connection import Answer
from tests.soak.abuse.framing import Request
from tests.soak.abuse.marks import Marks

_CODES = set(contract.load(resource_dir("openapi")).document["components"]["schemas"]["ProblemCode"]["enum"])
_MEMBERS = {"type", "title", "status", "detail", "code"}


class Exchange(NamedTuple):
    """The responses, and the end of the connection: `open`, `closed`, `hung`, or `garbled`."""

    answers: list[Answer]
    ending: str


def complaints(attack: Attack, requests: list[Request], rest: bytes, exchange: Exchange, marks: Marks) -> list[str]:
    """Return all faults of an exchange.

    A well-framed request gets one response. The connection stays open unless the request ends it, or the response sends
    `Connection: close` with a reason. Bytes that are not HTTP get at most one error response, and then the connection
    closes.
    """
    found = [fault for answer in exchange.answers for fault in _of_answer(answer, marks)]
    if exchange.ending in {"hung", "garbled"}:
        found.append(exchange.ending)
    elif attack.ending != "RST":
        found += _of_course(requests, rest, attack.ending, exchange)
    if attack.is_refused and any(answer.status < 300 for answer in exchange.answers):
        found.append("a forgery was accepted")
    return found


def _of_answer(answer: Answer, marks: Marks) -> list[str]:
    found = ["a response contains a mark"] if marks.in_answer(answer.raw, answer.status) else []
    if answer.status >= 500:
        found.append("5xx")
    if not answer.headers.get("x-request-id"):
        found.append("no X-Request-ID")
    if answer.status >= 400 and answer.body and not _is_problem(answer):
        found.append("an error of another form")
    return found


def _is_problem(answer: Answer) -> bool:
    try:
        problem = json.loads(answer.body)
    except ValueError:
        return False
    if answer.headers.get("content-type") != "application/problem+json" or not isinstance(problem, dict):
        return False
    has_members = problem.keys() - {"errors"} == _MEMBERS
    return has_members and problem["status"] == answer.status and problem["code"] in _CODES


def _of_course(requests: list[Request], rest: bytes, ending: str, exchange: Exchange) -> list[str]:
    answers = exchange.answers
    found = []
    # Bytes after the request in the same packet can be a reason, and so can their absence.
    has_reason = bool(rest or ending) or any(request.offers_upgrade for request in requests)
    for request, answer in zip(requests, answers, strict=False):
        if answer.ends_connection and not (has_reason or request.is_last or _may_close(request, answer)):
            found.append("closed without a reason")
        if answer.ends_connection or request.is_last:
            return found + _of_end(exchange, answers[-1] is answer)
    if len(answers) < len(requests):
        found.append("dropped without a response")
    elif len(answers) > len(requests) + bool(rest):
        found.append("more responses than requests")
    elif len(answers) > len(requests) and answers[-1].status < 400:
        found.append("a response to bytes that are not HTTP")
    if not rest and not ending and exchange.ending != "open":
        found.append("dropped after a response")
    if rest and exchange.ending == "open":
        found.append("left open")
    return found


def _of_end(exchange: Exchange, is_last: bool) -> list[str]:
    if not is_last:
        return ["a response after the last one"]
    return [] if exchange.ending == "closed" else ["left open"]


def _may_close(request: Request, answer: Answer) -> bool:
    """Return True if there is a reason to close the connection after the response to a well-framed request.

    The reasons are a request that was rejected for its form or size, and a body that the server did not wait for.
    """
    return request.has_body or answer.status in {400, 408, 413, 431}
