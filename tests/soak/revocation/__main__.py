"""Log out 1,000 times on each database, with the channel between two workers whole, and with it cut.

A token that is taken 100 ms after the log-out's answer is a failure.

Run it with `.venv/bin/python -m tests.soak.revocation`; it takes about three minutes.
"""

import sys

from tests.soak.revocation.environment import settled
from tests.soak.revocation.trial import Outcome, trial
from tests.support.installations import DATABASES

COUNT = 1_000


def main() -> None:
    """Print a line for each; the exit code tells whether every token was refused."""
    outcomes = [_run(name, cut=cut) for name in DATABASES for cut in (False, True)]
    if any(outcome.refused < outcome.ended for outcome in outcomes):
        sys.exit("A token was taken though its session was over.")


def _run(name: str, *, cut: bool) -> Outcome:
    with DATABASES[name]() as config, settled(config, COUNT) as place:
        outcome = trial(place, cut=cut)
    channel = "cut" if cut else "whole"
    refused = f"{outcome.refused:,} of {outcome.ended:,} refused after 100 ms"
    times = f"median {outcome.median_ms:.0f} ms, slowest {outcome.slowest_ms:.0f} ms"
    print(f"{name:10}  channel {channel:5}  {refused}; {times}", flush=True)
    return outcome


if __name__ == "__main__":
    main()
