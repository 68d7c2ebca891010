"""The figures as tables and lines of Markdown."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from benchmarks.speed.load import Run
from benchmarks.speed.results import BARS, Bar
from benchmarks.speed.service import Service


def table(columns: Sequence[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return a table in Markdown. The first column has text, the others have figures."""
    lines = (columns, ["---", *["---:"] * (len(columns) - 1)], *rows)
    return [f"| {' | '.join(line)} |" for line in lines]


def rates(services: Mapping[str, Service], runs: Mapping[str, Run]) -> list[str]:
    """Return a line per service. The ratio is Charter's rate divided by that of the service."""
    columns = (
        "service",
        "requests/s",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "ratio",
        "CPU µs each",
        "by CPU",
        "MB",
        "start s",
    )
    return table(columns, (_rate(name, service, runs) for name, service in services.items()))


def _rate(name: str, service: Service, runs: Mapping[str, Run]) -> Iterator[str]:
    run, ours = runs[name], runs["Charter"]
    yield from (name, f"{run.rate:,.0f}", f"{run.p50:.2f}", f"{run.p90:.2f}", f"{run.p99:.2f}")
    yield from (f"{ours.rate / run.rate:.2f}", f"{run.cost:.0f}", f"{run.cost / ours.cost:.2f}")
    yield from (f"{service.resident:.0f}", f"{service.seconds:.2f}")


def bars(figures: Mapping[str, float]) -> list[str]:
    """Return a line for each goal that was measured."""
    return _bars(_bar(BARS[name], figures[name]) for name in BARS if name in figures)


def all_bars(figures: Mapping[str, float]) -> list[str]:
    """Return a line for each goal, measured or not."""
    return _bars(_bar(bar, figures.get(name)) for name, bar in BARS.items())


def _bars(rows: Iterable[Iterable[str]]) -> list[str]:
    return table(("what", "asked for", "found", ""), rows)


def _bar(bar: Bar, figure: float | None) -> Iterator[str]:
    yield from (bar.what, f"{bar.sign} {bar.bound:g} {bar.unit}")
    yield from ("", "not measured") if figure is None else (f"{figure:.3g} {bar.unit}", bar.verdict(figure))
