"""Measure everything, or the parts that `--only` names. A part writes no files."""

import os
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.speed import load, rates
from benchmarks.speed.accounts import CASES, accounts
from benchmarks.speed.chart import chart
from benchmarks.speed.document import circumstances, document
from benchmarks.speed.introspection import introspection
from benchmarks.speed.kept import Kept, subject
from benchmarks.speed.keys import keys
from benchmarks.speed.logins import logins
from benchmarks.speed.measure import Length
from benchmarks.speed.memory import memory
from benchmarks.speed.purge import purge
from benchmarks.speed.refusals import refusals
from benchmarks.speed.report import bars
from benchmarks.speed.results import Section
from benchmarks.speed.scale import scale
from benchmarks.speed.starts import starts
from benchmarks.speed.workers import workers

Measurement = Callable[[Length, Path], Iterator[Section]]


def measurements(base: Path | None) -> dict[str, Measurement]:
    """Return all measurements by name. `refresh` also measures the Charter of the checkout `base`."""
    return {
        **{name: partial(rates.beside_all, name) for name in rates.CASES},
        "me": rates.me,
        "introspection": introspection,
        "keys": keys,
        **{name: partial(accounts, name, base if name == "refresh" else None) for name in CASES},
        "logins": logins,
        "starts": starts,
        "workers": workers,
        "memory": memory,
        "scale": scale,
        "purge": purge,
        "refusals": refusals,
    }


_BENCHMARKS = Path(__file__).parent.parent
_KEPT = _BENCHMARKS.parent / "build/bench"


def main() -> None:
    """Print the figures, and write down those of all."""
    parser = ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--only", type=_names, help=", ".join(measurements(None)))
    parser.add_argument("--base", type=_checkout, help="an older checkout, with a .venv, to measure a refresh beside")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--resume", type=int, default=0, help="1: reuse what an earlier run of this commit measured")
    given = parser.parse_args()
    length = Length(given.rounds, given.seconds)
    facts = circumstances(length)
    # The other core is for the services alone.
    os.sched_setaffinity(0, {load.CORE})
    chosen = measurements(given.base)
    kept = Kept(_KEPT, subject(given.base, length))
    sections = list(_measure({name: chosen[name] for name in given.only or chosen}, length, kept, given.resume))
    print(*bars({name: figure for section in sections for name, figure in section.figures.items()}), sep="\n")
    if (given.only, length) == (None, Length(parser.get_default("rounds"), parser.get_default("seconds"))):
        (_BENCHMARKS / "RESULTS.md").write_text(document(sections, facts))
        (_BENCHMARKS / "speed.svg").write_text(
            chart({section.title: section.drawn for section in sections if section.drawn})
        )


def _names(text: str) -> list[str] | None:
    names = text.split(",") if text else None
    if names and (unknown := set(names) - measurements(None).keys()):
        raise ArgumentTypeError(f"{', '.join(unknown)}: must be some of {', '.join(measurements(None))}")
    return names


def _checkout(text: str) -> Path | None:
    checkout = Path(text).absolute()
    if text and not (checkout / ".venv/bin/charter").exists():
        raise ArgumentTypeError(f"{text}: must be a checkout with .venv/bin/charter")
    return checkout if text else None


def _measure(chosen: dict[str, Measurement], length: Length, kept: Kept, resume: bool) -> Iterator[Section]:
    for name, measurement in chosen.items():
        with TemporaryDirectory() as folder:
            earlier = kept.read(name) if resume else None
            sections = kept.write(name, measurement(length, Path(folder))) if earlier is None else earlier
            for section in sections:
                print(section.title, "", *section.table, "", sep="\n", flush=True)
                yield section


if __name__ == "__main__":
    main()
