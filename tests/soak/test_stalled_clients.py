"""Clients that stall, and the response times of other clients beside them, in a short form of `make abuse`."""

import secrets

from tests.soak.abuse.server import Server
from tests.soak.abuse.trial import Trial
from tests.soak.test_abuse import charter, judge

__all__ = ["charter"]


def test_stalled_clients_are_cut_and_delay_no_other_client(charter: Server) -> None:
    trial = Trial(charter, secrets.token_hex(4))
    # The bound leaves room for other load on the machine. A server that waits for a client would exceed it.
    judge(trial, trial.stalled(100, ping_ms=1_000))
