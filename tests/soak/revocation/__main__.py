"""Log out 1,000 times on each database, with an intact channel between two workers and with a cut one.

A token that is accepted 100 ms after the response to the log-out is a failure.

Run it with `.venv/bin/python -m tests.soak.revocation`. It takes about three minutes.
"""

import sys

from tests.soak.revocation.environment import settled
from tests.soak.revocation.trial import Outcome, trial
from tests.support.installations import DATABASES

COUNT = 1_000


def main() -> None:
    """Print a line for each trial. The exit code is 0 if every token was rejected in time."""
    outcomes = [_run(name, cut=cut) for name in DATABASES for cut in (False, True)]
    if any(outcome.refused < outcome.ended for outcome in outcomes):
        sys.exit("A token was accepted after its session had ended.")


def _run(name: str, *, cut: bool) -> Outcome:
    with DATABASES[name]() as config, settled(config, COUNT) as place:
        outcome = trial(place, cut=cut)
    channel = "cut" if cut else "intact"
    refused = f"{outcome.refused:,} of {outcome.ended:,} rejected after 100 ms"
    times = f"median {outcome.median_ms:.0f} ms, slowest {outcome.slowest_ms:.0f} ms"
    print(f"{name:10}  channel {channel:6}  {refused}; {times}", flush=True)
    return outcome


if __name__ == "__main__":
    main()
