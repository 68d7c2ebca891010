"""Whether what the server did with an attack is what HTTP and the contract call for."""

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
    """What came back: the answers, and how it ended: `open`, `closed`, `hung`, or `garbled`."""

    answers: list[Answer]
    ending: str


def complaints(attack: Attack, requests: list[Request], rest: bytes, exchange: Exchange, marks: Marks) -> list[str]:
    """All that is wrong with an exchange.

    A well-framed request gets one answer, and the connection stays open unless the answer says `Connection: close`,
    for a reason, or the request itself did. What is not HTTP gets one refusal or none, and then the end.
    """
    found = [fault for answer in exchange.answers for fault in _of_answer(answer, marks)]
    if exchange.ending in {"hung", "garbled"}:
        found.append(exchange.ending)
    elif attack.ending != "RST":
        found += _of_course(requests, rest, attack.ending, exchange)
    if attack.is_refused and any(answer.status < 300 for answer in exchange.answers):
        found.append("a forgery was taken")
    return found


def _of_answer(answer: Answer, marks: Marks) -> list[str]:
    found = ["an answer holds a mark"] if marks.in_answer(answer.raw, answer.status) else []
    if answer.status >= 500:
        found.append("5xx")
    if not answer.headers.get("x-request-id"):
        found.append("no X-Request-ID")
    if answer.status >= 400 and answer.body and not _is_problem(answer):
        found.append("an error in another shape")
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
    # What comes behind in the same bytes, or that nothing does, can be a reason, too.
    has_reason = bool(rest or ending) or any(request.offers_upgrade for request in requests)
    for request, answer in zip(requests, answers, strict=False):
        if answer.ends_connection and not (has_reason or request.is_last or _may_close(request, answer)):
            found.append("closed for no reason")
        if answer.ends_connection or request.is_last:
            return found + _of_end(exchange, answers[-1] is answer)
    if len(answers) < len(requests):
        found.append("dropped without an answer")
    elif len(answers) > len(requests) + bool(rest):
        found.append("more answers than requests")
    elif len(answers) > len(requests) and answers[-1].status < 400:
        found.append("an answer to what is not HTTP")
    if not rest and not ending and exchange.ending != "open":
        found.append("dropped after an answer")
    if rest and exchange.ending == "open":
        found.append("left open")
    return found


def _of_end(exchange: Exchange, is_last: bool) -> list[str]:
    if not is_last:
        return ["an answer after the last one"]
    return [] if exchange.ending == "closed" else ["left open"]


def _may_close(request: Request, answer: Answer) -> bool:
    """Whether there is a reason to end the connection with the answer to a well-framed request.

    It was refused for its form or its size, or its body was not waited for.
    """
    return request.has_body or answer.status in {400, 408, 413, 431}
