"""Measure all of it, or what `--only` names; a short form writes no files."""

import os
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.speed import load, rates
from benchmarks.speed.accounts import CASES, accounts
from benchmarks.speed.chart import chart
from benchmarks.speed.document import circumstances, document
from benchmarks.speed.logins import logins
from benchmarks.speed.measure import Length
from benchmarks.speed.report import bars
from benchmarks.speed.results import Section
from benchmarks.speed.starts import starts

MEASUREMENTS: dict[str, Callable[[Length, Path], Iterator[Section]]] = {
    **{name: partial(rates.beside_all, name) for name in rates.CASES},
    "me": rates.me,
    **{name: partial(accounts, name, None) for name in CASES},
    "logins": logins,
    "starts": starts,
}

_BENCHMARKS = Path(__file__).parent.parent


def main() -> None:
    """Print the figures, and write down those of all."""
    parser = ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--only", type=_names, help=", ".join(MEASUREMENTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    given = parser.parse_args()
    length = Length(given.rounds, given.seconds)
    facts = circumstances(length)
    # The other core is for the services alone.
    os.sched_setaffinity(0, {load.CORE})
    sections = list(_measure(given.only or MEASUREMENTS, length))
    print(*bars({name: figure for section in sections for name, figure in section.figures.items()}), sep="\n")
    if given == parser.parse_args([]):
        (_BENCHMARKS / "RESULTS.md").write_text(document(sections, facts))
        (_BENCHMARKS / "speed.svg").write_text(
            chart({section.title: section.drawn for section in sections if section.drawn})
        )


def _names(text: str) -> list[str] | None:
    names = text.split(",") if text else None
    if names and (unknown := set(names) - MEASUREMENTS.keys()):
        raise ArgumentTypeError(f"{', '.join(unknown)}: there are {', '.join(MEASUREMENTS)}")
    return names


def _measure(names: Iterable[str], length: Length) -> Iterator[Section]:
    for name in names:
        with TemporaryDirectory() as folder:
            for section in MEASUREMENTS[name](length, Path(folder)):
                print(section.title, "", *section.table, "", sep="\n", flush=True)
                yield section


if __name__ == "__main__":
    main()
