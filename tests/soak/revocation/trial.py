"""Log out on one worker, and try the token on the other."""

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
# A channel that was cut is found again within this time.
_MENDED_SECONDS = 2.0


class Ended(NamedTuple):
    """Whether no try was taken that was sent 100 ms after the log-out's answer; when the first was refused, of many."""

    refused: bool
    seconds: float | None


class Outcome(NamedTuple):
    """What came of the log-outs; the times, in milliseconds, are from the answer to the first try that is refused."""

    ended: int
    refused: int
    median_ms: float
    slowest_ms: float


def trial(place: Place, *, cut: bool) -> Outcome:
    """End all sessions of a place, some at once; `cut` cuts the channel whenever the tokens are known everywhere."""
    ended: list[Ended] = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for start in range(0, len(place.tokens), _ROUND):
            tokens = place.tokens[start : start + _ROUND]
            assert list(pool.map(partial(_status, place.there), tokens)) == [200] * len(tokens)
            if cut:
                place.cut(True)
            # Every other is tried all the time, and keeps the worker awake; the others come out of silence.
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
