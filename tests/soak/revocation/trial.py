"""Log out on one worker, and send requests with the token to the other."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle
from statistics import median
from time import monotonic, sleep
from typing import NamedTuple

import httpx

from tests.soak.revocation.environment import Place

BOUND_SECONDS = 0.1
_AT_ONCE = 8
_ROUND = 100
# The worker reopens a cut channel within this time.
_MENDED_SECONDS = 2.0


class Ended(NamedTuple):
    """The result of one log-out: whether all later requests were rejected, and the seconds to the first rejection.

    A request counts as later if it was sent at least 100 ms after the response to the log-out.
    """

    refused: bool
    seconds: float | None


class Outcome(NamedTuple):
    """The results of the log-outs. Times are in milliseconds, from the response to the first rejected request."""

    ended: int
    refused: int
    median_ms: float
    slowest_ms: float


def trial(place: Place, *, cut: bool) -> Outcome:
    """End all sessions of a setting, some at once. With `cut`, cut the channel once all workers cache the tokens."""
    ended: list[Ended] = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for start in range(0, len(place.tokens), _ROUND):
            tokens = place.tokens[start : start + _ROUND]
            assert list(pool.map(partial(_status, place.there), tokens)) == [200] * len(tokens)
            if cut:
                place.cut(True)
            # Half of the tokens are sent all the time, which keeps the worker busy. The others meet an idle worker.
            ended += pool.map(partial(_end, place), tokens, cycle((0.0, BOUND_SECONDS)))
            if cut:
                place.cut(False)
                sleep(_MENDED_SECONDS)
    return _sum_up(ended)


def _end(place: Place, token: str, silence: float) -> Ended:
    assert place.here.post("/api/v1/auth/logout", headers=_bearer(token)).status_code == 204
    answered = monotonic()
    sleep(silence)
    while True:
        sent = monotonic()
        if _status(place.there, token) == 401:
            return Ended(True, None if silence else sent - answered)
        if sent >= answered + BOUND_SECONDS:
            return Ended(False, None)
        sleep(0.003)


def _status(worker: httpx.Client, token: str) -> int:
    status = worker.get("/protected", headers=_bearer(token)).status_code
    assert status in {200, 401}
    return status


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _sum_up(ended: Iterable[Ended]) -> Outcome:
    ended = list(ended)
    times = [one.seconds * 1000 for one in ended if one.seconds is not None] or [float("inf")]
    return Outcome(len(ended), sum(one.refused for one in ended), median(times), max(times))
