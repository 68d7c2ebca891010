"""Kill workers, and the whole service."""

import os
import signal
from time import monotonic, sleep

from tests.soak.chaos.environment import Place
from tests.soak.chaos.report import Row, of_verdict
from tests.support.charter import Server, serves, until, workers


def of_workers(place: Place, seconds: float, every: float) -> list[Row]:
    """Kill one of two workers again and again, under 100 writes a second."""
    respawned = []
    with place.served("--workers", "2") as server:
        load = place.load(server.url)
        with load.writing():
            ends = monotonic() + seconds
            while monotonic() < ends:
                sleep(every)
                respawned.append(_kill_one(server))
        server.stop()
    failed = sum(not response.success for response in load.responses)
    of_all = f"of {len(load.responses):,} requests, {len(respawned)} kills"
    return [
        Row(f"failed, {of_all}", 0.5, 100 * failed / len(load.responses), "%"),
        Row("slowest respawn", 5, max(respawned), "s"),
        *of_verdict(place.judged()),
    ]


def _kill_one(server: Server) -> float:
    """Kill a worker, and return the seconds until its replacement is ready."""
    before = workers(server)
    os.kill(before[0], signal.SIGKILL)
    return until(lambda: any(serves(worker) for worker in set(workers(server)) - set(before)))


def of_service(place: Place, times: int, seconds: float) -> list[Row]:
    """Kill the only process while it works, and start it again."""
    ready = []
    load = place.load(f"http://127.0.0.1:{place.charter.settings['CHARTER_PORT']}")
    with load.writing():
        for _ in range(times):
            began = monotonic()
            with place.served():
                ready.append(monotonic() - began)
                sleep(seconds)
    return [Row(f"slowest start to ready, of {times}", 3, max(ready), "s"), *of_verdict(place.judged())]
