"""A chart of rates as SVG, in a light and a dark form, with its figures as text."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import NamedTuple

_Panels = Mapping[str, Mapping[str, float]]
_TITLE = "Requests per second"
_SUBTITLE = "One process on one core, 16 connections. Longer is better."
_WIDTH, _MARGIN, _GAP = 880, 32, 40
_PANEL = (_WIDTH - 2 * _MARGIN - _GAP) // 2
_LABEL, _VALUE, _ROW, _BAR = 148, 56, 26, 14
_TOP, _HEAD, _SPACE = 108, 34, 26
_STYLE = """
    text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #475569 }
    .card { fill: #ffffff; stroke: #e2e8f0 }
    .title { font-size: 22px; font-weight: 650; fill: #0f172a }
    .panel { font-size: 14px; font-weight: 600; fill: #0f172a }
    .value { font-variant-numeric: tabular-nums }
    .bar { fill: #cbd5e1 }
    .ours { fill: #4f46e5 }
    .ours-text { font-weight: 650; fill: #3730a3 }
    @media (prefers-color-scheme: dark) {
      text { fill: #94a3b8 }
      .card { fill: #0d1117; stroke: #30363d }
      .title, .panel { fill: #f1f5f9 }
      .bar { fill: #475569 }
      .ours { fill: #818cf8 }
      .ours-text { fill: #c7d2fe }
    }"""


class _Place(NamedTuple):
    x: int
    y: int
    bottom: int


def chart(panels: _Panels) -> str:
    """Return the chart: a panel for each case, and a bar for each service. Charter's bars have their own colour."""
    places = list(_places(panels))
    height = places[-1].bottom
    # All bars share one scale. A service without responses has a bar of length 0.
    scale = (_PANEL - _LABEL - _VALUE) / max(1, *(rate for rates in panels.values() for rate in rates.values()))
    drawn = "".join(_panel(place, *panel, scale) for place, panel in zip(places, panels.items(), strict=True))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" \
role="img" aria-labelledby="title desc">
  <title id="title">{_TITLE}</title>
  <desc id="desc">{escape(" ".join(_words(panels)))}</desc>
  <style>{_STYLE}
  </style>
  <rect class="card" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="12"/>
  <text class="title" x="{_MARGIN}" y="46">{_TITLE}</text>
  <text x="{_MARGIN}" y="70">{_SUBTITLE}</text>
{drawn}</svg>
"""


def _places(panels: _Panels) -> Iterator[_Place]:
    """Yield the place of each panel. Two panels form a row."""
    sizes = [len(rates) for rates in panels.values()]
    y = _TOP
    for first in range(0, len(sizes), 2):
        row = sizes[first : first + 2]
        bottom = y + _HEAD + max(row) * _ROW + _SPACE
        yield from (_Place(_MARGIN + column * (_PANEL + _GAP), y, bottom) for column in range(len(row)))
        y = bottom


def _words(panels: _Panels) -> Iterator[str]:
    yield _SUBTITLE
    for question, rates in panels.items():
        yield f"{question}: {', '.join(f'{name} {rate:,.0f}' for name, rate in rates.items())}."


def _panel(place: _Place, question: str, rates: Mapping[str, float], scale: float) -> str:
    top = place.y + _HEAD
    bars = "".join(_bar(top + row * _ROW, name, rates[name], scale) for row, name in enumerate(rates))
    heading = f'    <text class="panel" x="0" y="{place.y + 12}">{escape(question)}</text>\n'
    return f'  <g transform="translate({place.x} 0)">\n{heading}{bars}  </g>\n'


def _bar(y: int, name: str, rate: float, scale: float) -> str:
    bar, text = ("bar ours", "ours-text") if name.startswith("Charter") else ("bar", "name")
    length = max(1, round(rate * scale))
    return f"""\
    <text class="{text}" x="0" y="{y + 11}">{escape(name)}</text>
    <rect class="{bar}" x="{_LABEL}" y="{y}" width="{length}" height="{_BAR}" rx="3"/>
    <text class="value {text}" x="{_LABEL + length + 8}" y="{y + 11}">{rate:,.0f}</text>
"""
