"""bcrypt alone: `python -m benchmarks.speed.hashes 40 0,1` prints what 40 checks cost on cores 0 and 1."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from time import perf_counter, process_time

import bcrypt

COST = 12


def main() -> None:
    """Check this number of passwords, in one thread per core."""
    times, cores = int(sys.argv[1]), [int(core) for core in sys.argv[2].split(",")]
    os.sched_setaffinity(0, cores)
    hashed = bcrypt.hashpw(b"password", bcrypt.gensalt(COST))
    with ThreadPoolExecutor(len(cores)) as pool:
        began, spent = perf_counter(), process_time()
        assert all(pool.map(bcrypt.checkpw, repeat(b"password", times), repeat(hashed)))
        # The elapsed seconds, and the CPU seconds.
        print(perf_counter() - began, process_time() - spent)


if __name__ == "__main__":
    main()
