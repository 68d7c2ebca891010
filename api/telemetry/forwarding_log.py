"""The log of forwarded headers that were ignored, because they came from a peer that is not a trusted proxy."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from api import clock

_PERIOD = timedelta(hours=1)
# A flood of peers must not fill the memory or the log. Beyond this number, only the metric counts.
_MOST_PEERS = 1000

_log = logging.getLogger("charter.proxies")


class ForwardingLog:
    """Counts ignored headers, and writes one line per peer and hour.

    Such a peer is either a proxy that is missing in CHARTER_TRUSTED_PROXIES, or a client that forges its address. Peers
    with the same `key` share a line. `count` is called for each header.
    """

    def __init__(self, key: Callable[[str], str], count: Callable[[], object] = lambda: None) -> None:
        self._key = key
        self._count = count
        # In the order of their times.
        self._logged: dict[str, datetime] = {}

    def record(self, peer: str | None, header: str) -> None:
        """Record that a header of this peer was ignored. A peer on a Unix socket has no address."""
        self._count()
        key, now = self._key(peer or ""), clock.now()
        self._forget(now - _PERIOD)
        if key in self._logged or len(self._logged) >= _MOST_PEERS:
            return
        self._logged[key] = now
        hint = "if the peer is your proxy, add it to CHARTER_TRUSTED_PROXIES"
        facts = {"address": peer, "header": header, "hint": hint}
        _log.warning("forwarded_header_ignored", extra={"facts": facts})

    def _forget(self, end: datetime) -> None:
        """Forget the peers whose lines were written before `end`."""
        while self._logged and self._logged[oldest := next(iter(self._logged))] <= end:
            del self._logged[oldest]
