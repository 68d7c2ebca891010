"""A service whose clock is an hour fast or an hour slow."""

import signal
import sys
from collections import Counter
from dataclasses import replace
from time import sleep

import httpx

from tests.soak.chaos.environment import Place
from tests.soak.chaos.report import Row
from tests.support.person import newcomer

# The clock of the service, moved while it runs: SIGUSR1 sets it on by an hour, SIGUSR2 sets it back by one.
_MOVED = f"""#!{sys.executable}
import signal
from datetime import timedelta
from api import clock
now, off = clock.now, timedelta()
def move(hours):
    def moved(*_):
        global off
        off += timedelta(hours=hours)
    return moved
signal.signal(signal.SIGUSR1, move(1))
signal.signal(signal.SIGUSR2, move(-1))
clock.now = lambda: now() + off
from api.cli.main import main
main()
"""
_STEPS = (
    # A token issued at noon has expired at one o'clock. A token issued at one is not yet valid at noon.
    (signal.SIGUSR1, "an hour on"),
    (signal.SIGUSR2, "back again"),
    (signal.SIGUSR2, "an hour back"),
    (signal.SIGUSR1, "right again"),
)


def clocks(place: Place) -> list[Row]:
    """Check after each move that old tokens are rejected, new ones are valid, and no response is a 5xx."""
    statuses: Counter[int] = Counter()
    misjudged = 0
    command = place.charter.folder / "moved"
    command.write_text(_MOVED)
    command.chmod(0o700)
    with replace(place.charter, command=command).serving() as server:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            alice = newcomer(client, "moved")
            for number, _ in _STEPS:
                server.process.send_signal(number)
                sleep(0.3)
                responses = [alice.get("/protected"), alice.refresh(), alice.get("/protected"), alice.get("/api/v1/me")]
                responses += [alice.log_in(), alice.get("/protected"), client.get("/ready")]
                statuses.update(response.status_code for response in responses)
                misjudged += [response.status_code for response in responses] != [401, 200, 200, 200, 200, 200, 200]
        server.stop()
    faults = sum(count for status, count in statuses.items() if status >= 500)
    return [
        Row(f"faults, of {statuses.total()} responses", 0, faults),
        Row(f"of {len(_STEPS)} clock moves, those after which a token was misjudged", 0, misjudged),
    ]
