"""Rate limits: the budgets of addresses, users and names, exact across all processes and hosts.

A request takes from its budgets before it costs anything, and gets back what it did not use up. A check before the
request and a count after it would let parallel requests pass.
"""

import hmac
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from api import clock, logs
from api.crypto.secret import derive
from api.errors import ApiError, TooBusy
from api.storage.rate_limit_store import MICROSECONDS, RateLimitStore, Refusal, Take

_log = logging.getLogger("charter.rate_limits")
_KEY_BYTES = 16
# A process remembers a refusal for at most a second, so a flood of refused requests costs the database nothing.
_REMEMBERED, _MOST_REMEMBERED = MICROSECONDS, 10_000
_PURGED_AT_ONCE = 250
_SUCCESSES = range(200, 300)
_UNAVAILABLE = 503


class Policy(Protocol):
    """A rate limit: `quota` requests in `window` seconds. `refund` are those that do not count."""

    @property
    def name(self) -> str: ...
    @property
    def quota(self) -> int: ...
    @property
    def window(self) -> int: ...
    @property
    def refund(self) -> str: ...


class Subject(Protocol):
    """A policy, and the value whose budget a request spends.

    A valid `proof` gives the request another budget. So does the address `place` once the budget is spent, if the user
    is known there.
    """

    @property
    def policy(self) -> Any: ...
    @property
    def value(self) -> Any: ...
    @property
    def proof(self) -> str | None: ...
    @property
    def place(self) -> str | None: ...


class State(NamedTuple):
    """The state of a budget: the remaining requests, and the seconds until there is one more."""

    policy: Any
    remaining: int
    seconds: int


class Readers(NamedTuple):
    """How the values of subjects are compared: `value_of` by the `by` of a policy, `device_of` for proofs.

    `device_of(proof, value)` returns the device of a proof, or None if the proof is not one of the canonical value.
    `is_known_at(address, value)` reads from the database whether the user with the canonical value is known there.
    """

    value_of: Mapping[str, Callable[[Any], str]]
    device_of: Callable[[str, str], str | None]
    is_known_at: Callable[[str, str], bool]


class _Claim(NamedTuple):
    """A request for a unit of a policy. A known client, which is a device or a place, has a budget of its own.

    Once the budget is spent, that of the address `place` may serve the request. An empty one is always unknown.
    """

    policy: Any
    value: str
    known: str | None
    place: str


_Found = dict[bytes, int] | Refusal
"""The new times of the budgets, or the refusal of one."""


class RateLimiter:
    """Takes requests from budgets. `run` runs the statements on threads, and `on_refusal` gets each refusal."""

    def __init__(
        self,
        store: RateLimitStore,
        secret: bytes,
        readers: Readers,
        most_rows: int,
        run: Callable[[Callable[[], Any]], Awaitable[Any]],
        on_refusal: Callable[[str, str], None] | None = None,
    ) -> None:
        self._store = store
        self._key = derive(secret, "limits")
        self._readers = readers
        self._most_rows = most_rows
        self._run = run
        self._on_refusal = on_refusal
        self._refused: OrderedDict[bytes, tuple[int, int]] = OrderedDict()
        self._was_full = False

    def close(self) -> None:
        """Close the connections of the table."""
        self._store.close()

    async def take(self, operation: str, subjects: Sequence[Subject]) -> "Taken":
        """Take one request from the budget of each subject, or from none of them if one is spent.

        Raises DatabaseUnavailable if the budgets cannot be used, and TooBusy if there are too many.
        """
        now = _now()
        claims = [self._claim(subject) for subject in subjects]
        takes = self._takes(operation, claims)
        found = await self._take(takes, now)
        if isinstance(found, Refusal) and found.tat is not None and takes[found.take].place:
            takes, found = await self._take_at_place(operation, claims, takes, found, now)
        if isinstance(found, Refusal):
            return self._refusal(operation, takes[found.take].policy, found, now)
        states = [_state(claim.policy, found[take.key], take, now) for take, claim in takes.items()]
        return Taken(states, None, partial(self._settle, takes))

    def key(self, operation: str, policy: Any, value: Any) -> bytes:
        """Return the key of the budget that unknown clients share. It reveals the value only with the secret."""
        return self._key_of(operation, policy.name, self._text(policy, value))

    def state(self, operation: str, policy: Any, value: Any) -> State:
        """Return the state of a budget. Raises DatabaseUnavailable if it cannot be read."""
        now, take = _now(), _take_of(policy, self.key(operation, policy, value))
        return _state(policy, self._store.find([take.key]).get(take.key, now), take, now)

    def clear(self, budgets: Sequence[tuple[str, Any, Any]]) -> int:
        """Fill the budgets, each given as operation, policy and value. Return how many were in use."""
        return self._store.clear([self.key(*budget) for budget in budgets])

    def purge(self) -> bool:
        """Delete some full budgets, and return True if the table is close to its limit, so that more should follow."""
        self._store.purge(_now(), _PURGED_AT_ONCE)
        is_full = self._store.size >= self._most_rows
        if is_full and not self._was_full:
            _log.error("rate_limits_full", extra={"facts": {"rows": self._store.size}})
        self._was_full = is_full
        return self._store.size > self._most_rows // 2

    def _text(self, policy: Any, value: Any) -> str:
        return self._readers.value_of.get(policy.by, str)(value)

    def _key_of(self, *parts: str) -> bytes:
        # The lengths keep different parts from being the same text.
        joined = b"".join(len(part.encode()).to_bytes(4) + part.encode() for part in parts)
        return hmac.digest(self._key, joined, "sha256")[:_KEY_BYTES]

    def _claim(self, subject: Subject) -> _Claim:
        value = self._text(subject.policy, subject.value)
        device = None if subject.proof is None else self._readers.device_of(subject.proof, value)
        return _Claim(subject.policy, value, device, subject.place or "" if device is None else "")

    def _takes(self, operation: str, claims: Sequence[_Claim]) -> dict[Take, _Claim]:
        """Return what a request takes, with the claims."""
        found = {}
        for claim in claims:
            known = [] if claim.known is None else [claim.known]
            key = self._key_of(operation, claim.policy.name, claim.value, *known)
            found[_take_of(claim.policy, key)] = claim
        return found

    async def _take(self, takes: Mapping[Take, _Claim], now: int) -> _Found:
        refusal = self._known_refusal(takes, now)
        if refusal is not None:
            return refusal
        accepts_new = self._store.size < self._most_rows
        found: _Found = await self._run(partial(self._store.take, list(takes), now, accepts_new=accepts_new))
        if isinstance(found, Refusal):
            self._remember(found, now)
        return found

    async def _take_at_place(
        self, operation: str, claims: Sequence[_Claim], takes: dict[Take, _Claim], refusal: Refusal, now: int
    ) -> tuple[dict[Take, _Claim], _Found]:
        """Repeat a refused request with the budgets of its place, if the user is known there."""
        policy, value, _, place = takes[refusal.take]
        network = self._readers.value_of["address"](place)
        at_place = [
            claim._replace(known=network) if claim.place and claim.value == value else claim for claim in claims
        ]
        own = self._takes(operation, at_place)
        remembered = self._known_refusal(own, now)
        if remembered is not None:
            return own, remembered
        if await self._run(partial(self._readers.is_known_at, place, value)):
            return own, await self._take(own, now)
        # The flood of refusals that may follow reads no places.
        key = self._key_of(operation, policy.name, value, network)
        self._remember(refusal._replace(take=refusal.take._replace(key=key)), now)
        return takes, refusal

    def _known_refusal(self, takes: Iterable[Take], now: int) -> Refusal | None:
        for take in takes:
            tat, since = self._refused.get(take.key, (0, 0))
            # After the clock was set back, the database decides.
            if since <= now < since + _REMEMBERED and tat > now + take.window - take.step:
                return Refusal(take, tat)
        return None

    def _refusal(self, operation: str, policy: Any, refusal: Refusal, now: int) -> "Taken":
        if refusal.tat is None:
            raise TooBusy()
        logs.bind(policy=policy.name)
        if self._on_refusal is not None:
            self._on_refusal(operation, policy.name)
        state = _state(policy, refusal.tat, refusal.take, now)
        return Taken([state], state.seconds, None)

    def _remember(self, refusal: Refusal, now: int) -> None:
        key = refusal.take.key
        if refusal.tat is None:
            return
        self._refused.setdefault(key, (refusal.tat, now))
        if self._refused[key][1] + _REMEMBERED <= now:
            self._refused[key] = refusal.tat, now
        self._refused.move_to_end(key)
        if len(self._refused) > _MOST_REMEMBERED:
            self._refused.popitem(last=False)

    async def _settle(self, takes: Mapping[Take, _Claim], status: int) -> None:
        outcome = "success" if status in _SUCCESSES else "failure"
        returned = [take for take, claim in takes.items() if status == _UNAVAILABLE or claim.policy.refund == outcome]
        if not returned:
            return
        try:
            await self._run(partial(self._store.give_back, returned, _now()))
        except ApiError as error:
            _log.warning("rate_limit_kept", extra={"facts": {"code": error.code}})
        # Not earlier: another request may have been refused until now.
        for take in returned:
            self._refused.pop(take.key, None)


class Taken(NamedTuple):
    """The result for one request: the states of its budgets, or the refusal with the state of the spent one."""

    states: Sequence[State]
    retry_after: int | None
    returns: Callable[[int], Awaitable[None]] | None

    async def settle(self, status: int) -> None:
        """Give back what a response with this status does not use up. It never raises."""
        if self.returns is not None:
            await self.returns(status)


def _take_of(policy: Policy, key: bytes) -> Take:
    window = policy.window * MICROSECONDS
    return Take(key, window // policy.quota, window)


def _state(policy: Any, tat: int, take: Take, now: int) -> State:
    remaining = max(0, (now + take.window - tat) // take.step)
    wait = min(tat, now + take.window) - take.window + (remaining + 1) * take.step - now
    return State(policy, remaining, max(1, -(-wait // MICROSECONDS)))


def _now() -> int:
    return int(clock.now().timestamp() * MICROSECONDS)
