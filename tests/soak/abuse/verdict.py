"""Judge the server's reaction to an attack by HTTP and the contract."""

import json
from typing import NamedTuple

from api import contract
from api.config.paths import resource_dir
from tests.soak.abuse.attacks import Attack
from tests.soak.abuse.connection import Response
from tests.soak.abuse.framing import Request
from tests.soak.abuse.marks import Marks

_CODES = set(contract.load(resource_dir("openapi")).document["components"]["schemas"]["ProblemCode"]["enum"])
_MEMBERS = {"type", "title", "status", "detail", "code"}


class Exchange(NamedTuple):
    """The responses, and the end of the connection: `open`, `closed`, `hung`, or `garbled`."""

    responses: list[Response]
    ending: str


def complaints(attack: Attack, requests: list[Request], rest: bytes, exchange: Exchange, marks: Marks) -> list[str]:
    """Return all faults of an exchange.

    A well-framed request gets one response. The connection stays open unless the request ends it, or the response sends
    `Connection: close` with a reason. Bytes that are not HTTP get at most one error response, and then the connection
    closes.
    """
    found = [fault for response in exchange.responses for fault in _of_response(response, marks)]
    if exchange.ending in {"hung", "garbled"}:
        found.append(exchange.ending)
    elif attack.ending != "RST":
        found += _of_course(requests, rest, attack.ending, exchange)
    if attack.is_refused and any(response.status < 300 for response in exchange.responses):
        found.append("a forgery was accepted")
    return found


def _of_response(response: Response, marks: Marks) -> list[str]:
    found = ["a response contains a mark"] if marks.in_response(response.raw, response.status) else []
    if response.status >= 500:
        found.append("5xx")
    if not response.headers.get("x-request-id"):
        found.append("no X-Request-ID")
    if response.status >= 400 and response.body and not _is_problem(response):
        found.append("an error of another form")
    return found


def _is_problem(response: Response) -> bool:
    try:
        problem = json.loads(response.body)
    except ValueError:
        return False
    if response.headers.get("content-type") != "application/problem+json" or not isinstance(problem, dict):
        return False
    has_members = problem.keys() - {"errors"} == _MEMBERS
    return has_members and problem["status"] == response.status and problem["code"] in _CODES


def _of_course(requests: list[Request], rest: bytes, ending: str, exchange: Exchange) -> list[str]:
    responses = exchange.responses
    found = []
    # Bytes after the request in the same packet can be a reason, and so can their absence.
    has_reason = bool(rest or ending) or any(request.is_connect for request in requests)
    for request, response in zip(requests, responses, strict=False):
        if response.ends_connection and not (has_reason or request.is_last or _may_close(request, response)):
            found.append("closed without a reason")
        if response.ends_connection or request.is_last:
            return found + _of_end(exchange, responses[-1] is response)
    if len(responses) < len(requests):
        found.append("dropped without a response")
    elif len(responses) > len(requests) + bool(rest):
        found.append("more responses than requests")
    elif len(responses) > len(requests) and responses[-1].status < 400:
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


def _may_close(request: Request, response: Response) -> bool:
    """Return True if there is a reason to close the connection after the response to a well-framed request.

    The reasons are a request that was rejected for its form or size, and a body that the server did not wait for.
    """
    return request.has_body or response.status in {400, 408, 413, 431}
