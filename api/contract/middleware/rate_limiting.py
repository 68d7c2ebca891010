"""Limit the rate of an operation before its handler is called, by the policies of the contract."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.contract.document.operation import Operation
from api.contract.document.rate_limits import Policy
from api.contract.http.client import address_of
from api.contract.http.scope import arguments_of
from api.errors import ApiError, RateLimited


class Subject(NamedTuple):
    """A policy with the value whose budget a request spends: an address, an identity, or a text of the body.

    `proof` is the text that may give the request a budget of its own, or None. The address `place` may do the same.
    """

    policy: Policy
    value: Any
    proof: str | None
    place: str | None


class State(Protocol):
    """The state of a budget: the remaining requests, and the seconds until there is one more."""

    @property
    def policy(self) -> Policy: ...
    @property
    def remaining(self) -> int: ...
    @property
    def seconds(self) -> int: ...


class Taken(Protocol):
    """The result for one request: the units that it has taken, or the refusal."""

    @property
    def states(self) -> Sequence[State]:
        """The states of the budgets, or only that of the spent one."""

    @property
    def retry_after(self) -> int | None:
        """Seconds until the request may be repeated, if one of its budgets was spent. Then nothing was taken."""

    async def settle(self, status: int) -> None:
        """Give back what the response with this status does not use up. It never raises."""


class RateLimiter(Protocol):
    """The budgets of all clients."""

    async def take(self, operation: str, subjects: Sequence[Subject]) -> Taken:
        """Take one request from the budget of each subject, or from none of them if one is spent.

        Raises an ApiError with status 503 if the budgets cannot be read.
        """


class LimitedOperation:
    """An operation behind its rate limits."""

    def __init__(
        self, operation: Operation, policies: Sequence[Policy], next_app: ASGIApp, limiter: RateLimiter
    ) -> None:
        self._name = operation.id
        self._policies = [(policy, policy.member, policy.proof, policy.knows_places) for policy in policies]
        self._next_app = next_app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        taken = await self._limiter.take(self._name, self._subjects(scope))
        headers = _headers(taken.states)
        if taken.retry_after is not None:
            raise RateLimited(taken.retry_after, headers)
        added = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

        async def settled(message: Message) -> None:
            if message["type"] == "http.response.start":
                await taken.settle(message["status"])
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        try:
            await self._next_app(scope, receive, settled)
        except ApiError as error:
            await taken.settle(error.status)
            error.headers.update(headers)
            raise

    def _subjects(self, scope: Scope) -> Sequence[Subject]:
        arguments = arguments_of(scope)
        body = arguments.get("body")
        members = body if isinstance(body, dict) else {}
        of_caller = {"address": address_of(scope), "identity": arguments.get("identity")}
        found = []
        for policy, member, proof, knows_places in self._policies:
            value = members.get(member) if member else of_caller[policy.by]
            if value is not None:
                place = of_caller["address"] if knows_places else None
                found.append(Subject(policy, value, members.get(proof) if proof else None, place))
        return found


def _headers(states: Sequence[State]) -> dict[str, str]:
    """Return the header fields of draft-ietf-httpapi-ratelimit-headers, for the policies that are public."""
    public = [state for state in states if state.policy.is_public]
    if not public:
        return {}
    policies = (f'"{state.policy.name}";q={state.policy.quota};w={state.policy.window}' for state in public)
    budgets = (f'"{state.policy.name}";r={state.remaining};t={state.seconds}' for state in public)
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(budgets)}
