"""The figures and documents of `make bench`. These tests measure nothing."""

import ast
import os
from math import inf
from xml.etree import ElementTree

import pytest

from api import contract
from benchmarks.speed.chart import chart
from benchmarks.speed.document import document
from benchmarks.speed.load import Request, Run, parse
from benchmarks.speed.report import all_bars, bars, rates
from benchmarks.speed.results import BARS, Bar, Section
from benchmarks.speed.service import Service
from tests.support.paths import CHECKOUT

OUTPUT = """Running 5s test @ http://127.0.0.1:8000
  1 threads and 16 connections
{"answers": %d, "failed": %d, "microseconds": 5000000, "p50": 1950, "p90": 2500, "p99": 4400}
"""
SVG = "{http://www.w3.org/2000/svg}"
RUN = Run(36_000, 7200, 1.95, 2.5, 4.4, 120)


@pytest.fixture
def service() -> Service:
    """A service that is this process, so that its memory can be read."""
    return Service(os.getpid(), 0, 0.5)


def test_the_output_of_wrk_is_parsed() -> None:
    assert parse(OUTPUT % (36_000, 0)) == Run(36_000, 7200, 1.95, 2.5, 4.4)


def test_a_run_without_responses_has_infinite_latency() -> None:
    assert parse(OUTPUT % (0, 0)) == Run(0, 0, inf, inf, inf)


def test_a_run_with_a_failed_request_is_rejected() -> None:
    with pytest.raises(AssertionError, match='"failed": 1'):
        parse(OUTPUT % (36_000, 1))


def test_a_request_is_serialized_as_http() -> None:
    assert Request("/a", "e30", "{}").raw == (
        "POST /a HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer e30\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert Request("/a").raw == "GET /a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.mark.parametrize(
    ("sign", "figure", "verdict"),
    [
        ("at least", 1.6, "holds"),
        ("at least", 1.59, "MISSED"),
        ("at most", 1.6, "holds"),
        ("at most", 1.61, "MISSED"),
        ("at most", inf, "MISSED"),
    ],
)
def test_a_bar_holds_at_its_bound(sign: str, figure: float, verdict: str) -> None:
    assert Bar("Some rate", sign, 1.6, "times").verdict(figure) == verdict


def test_a_rate_is_compared_with_that_of_charter(service: Service) -> None:
    *_, line = rates(
        {"Charter": service, "Other": service}, {"Charter": RUN, "Other": RUN._replace(rate=3600, cost=300)}
    )
    assert line.startswith("| Other | 3,600 | 1.95 | 2.50 | 4.40 | 2.00 | 300 | 2.50 | ")


def test_only_measured_bars_have_a_line() -> None:
    *_, line = bars({"ping/FastAPI async def": 1.25})
    assert line == "| GET /ping, rate beside FastAPI async def | at least 1.1 times | 1.25 times | holds |"
    assert len(bars({})) == 2


def test_all_bars_shows_bars_that_were_not_measured() -> None:
    lines = all_bars({"ping/FastAPI async def": 1.25})
    assert len(lines) == 2 + len(BARS)
    assert "| Growth of the memory under log-ins | at most 5 % |  | not measured |" in lines


def test_no_bar_has_a_unit_that_depends_on_the_machine() -> None:
    assert {bar.unit for bar in BARS.values()} == {"times", "%", "operations", "refreshes"}


def test_the_document_contains_all_tables() -> None:
    text = document([Section("Some title", ["| a |"], dict.fromkeys(BARS, 1), {})], "Some machine.")
    assert "## Some title\n\n| a |" in text
    assert [bar.what for bar in BARS.values() if f"| {bar.what} |" not in text] == []


def test_the_published_results_contain_every_bar() -> None:
    text = (CHECKOUT / "benchmarks/RESULTS.md").read_text()
    lines = [f"| {bar.what} | {bar.sign} {bar.bound:g} {bar.unit} |" for bar in BARS.values()]
    assert [line for line in lines if line not in text] == []


def test_the_chart_draws_each_service_to_scale() -> None:
    svg = ElementTree.fromstring(chart({"GET /a": {"Charter": 2000, "O & O": 500}, "GET /b": {"Charter": 1000}}))  # noqa: S314
    words = [text.text for text in svg.iter(f"{SVG}text")][2:]
    assert words == ["GET /a", "Charter", "2,000", "O & O", "500", "GET /b", "Charter", "1,000"]
    _, *bars = [(bar.get("class"), int(bar.get("width", "0").partition(".")[0])) for bar in svg.iter(f"{SVG}rect")]
    full = bars[0][1]
    assert bars == [("bar ours", full), ("bar", full // 4), ("bar ours", full // 2)]


def test_the_chart_has_a_text_alternative() -> None:
    svg = ElementTree.fromstring(chart({"GET /a": {"Charter": 2000, "O & O": 500}}))  # noqa: S314
    assert svg.get("role") == "img"
    text = {element.get("id"): element.text or "" for element in svg if element.get("id")}
    assert svg.get("aria-labelledby", "").split() == list(text)
    assert text["desc"].endswith("GET /a: Charter 2,000, O & O 500.")


def test_the_published_chart_is_an_svg_image() -> None:
    svg = ElementTree.parse(CHECKOUT / "benchmarks/speed.svg").getroot()  # noqa: S314
    assert svg.tag == f"{SVG}svg"
    assert "Charter" in [text.text for text in svg.iter(f"{SVG}text")]


def test_the_template_returns_the_same_profile_as_charter() -> None:
    """`make bench` ends with an error if two services respond differently. The baseline cannot be imported here."""
    module = ast.parse((CHECKOUT / "benchmarks/speed/baselines/template/service.py").read_text())
    classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    members = {
        node.target.id
        for name in ("UserBase", "UserPublic")
        for node in classes[name].body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    document = contract.load(CHECKOUT / "openapi").document
    assert members == set(document["components"]["schemas"]["User"]["properties"])
