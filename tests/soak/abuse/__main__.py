"""Run all trials. The exit code is 0 if every bar holds."""

import os
import secrets
import sys

from tests.soak.abuse.report import text
from tests.soak.abuse.server import shipped
from tests.soak.abuse.trial import Trial

_WARM_UP = 5_000


def main() -> None:
    """Print the figures, first in detail and then as a table."""
    seed = os.environ.get("SEED") or secrets.token_hex(4)
    requests = int(os.environ.get("REQUESTS") or 100_000)
    print(f"SEED={seed} REQUESTS={requests}", flush=True)
    with shipped() as server:
        trial = Trial(server, seed)
        rows = trial.stalled(500, ping_ms=100) + trial.crowded(12, 2_000) + trial.hostile(requests, _WARM_UP)
    print("\n".join(trial.details), text(rows), sep="\n\n")
    if not all(row.holds for row in rows):
        sys.exit("A bar was missed.")


if __name__ == "__main__":
    main()
