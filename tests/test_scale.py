"""What the pages of scale and soak say follows from the figures, and a missed bar is one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests import scale_report, soak_report
from loadtests.measure import Sample, Seen
from loadtests.scale import read_plan, reason
from loadtests.scale_cases import (
    LATE,
    MANY,
    QUICK,
    UNEVEN,
    Case,
    of_endpoints,
    of_routes,
    of_workers,
    rows,
)
from loadtests.scale_report import BAR, Axis, Point
from loadtests.shapes import ROUTES
from loadtests.soak_report import BACK, Soak, passed, slope

PORTS = {QUICK: 81, LATE: 82, UNEVEN: 83}
GOOD = Seen(1000, 1.0, 0.001, 0.002, 0, 0)


def run(cpu: float, seen: Seen = GOOD) -> Sample:
    return Sample(cpu * 1e-6, 60.0, seen, cpu * 0.5e-6)


def axis(name: str, judged: bool = True, **points: list[float]) -> Axis:
    """Points as `n1=[30.0, 31.0]`: microseconds of each round."""
    counts = {int(count[1:]): figures for count, figures in points.items()}
    found = {n: Point(n, [run(cpu) for cpu in each]) for n, each in counts.items()}
    return Axis(name, judged, found)


def test_ten_percent_more_is_within_the_bar_and_more_is_not() -> None:
    assert axis("routes", n1=[30.0], n10=[33.0]).verdict == "PASS"
    assert axis("routes", n1=[30.0], n1000=[33.1]).verdict == "FAIL"


def test_what_lies_beyond_a_thousand_is_told_and_not_judged() -> None:
    grown = axis("routes", n1=[30.0], n1000=[30.0], n10000=[60.0])
    assert grown.verdict == "PASS"
    assert grown.ratio(10_000) == 2.0


def test_what_is_there_for_comparison_is_not_judged() -> None:
    shown = axis("workers", judged=False, n1=[30.0], n2=[90.0])
    assert (shown.verdict, shown.worst) == ("-", 3.0)


@pytest.mark.parametrize("kind", ["methods", "mixed"])
def test_one_route_is_asked_by_as_many_methods_as_a_thousand(kind: str) -> None:
    """Else the first point would be of GETs alone, which are the cheapest."""
    found = rows(("routes",), 10_000, 9_900, PORTS)
    (row,) = (row for row in found if row.name == f"routes, {kind}")

    def shares(case: Case) -> dict[str, float]:
        methods = [ask.split()[0] for ask in case.asks]
        return {each: methods.count(each) / len(methods) for each in sorted(set(methods))}

    first, *others = map(shares, row.cases)
    assert len(first) > 1
    assert all(each == pytest.approx(first, abs=0.03) for each in others)


def test_the_bar_is_for_routes_of_every_kind_and_endpoints_of_every_strategy() -> None:
    found = rows(("connections", "routes", "endpoints", "workers"), 10_000, 9_900, PORTS)
    judged = {row.name for row in found if row.judged}
    assert judged == {
        *(f"routes, {kind}" for kind in ROUTES),
        "routes, mixed, anew",
        *(f"endpoints, {one}" for one in ("peak_ewma", "least_request", "round_robin")),
    }
    for row in found:
        counts = [case.count for case in row.cases]
        if row.judged:
            assert counts[0] == 1
            assert 1000 in counts
    (clients,) = (row for row in found if row.name == "connections")
    assert [case.connections for case in clients.cases] == [1, 10, 100, 1000, 9_900]


def test_one_endpoint_has_as_many_clients_as_a_thousand() -> None:
    for count in (1, 1000):
        case = of_endpoints(count, PORTS, "round_robin")
        assert (case.connections, case.origin) == (MANY, LATE)


def test_rounds_are_compared_within_a_round() -> None:
    """The second round was twice as slow for all: nothing has grown."""
    assert axis("routes", n1=[30.0, 60.0], n10=[30.0, 60.0]).worst == 1.0


@pytest.mark.parametrize("seen", [replace(GOOD, refused=1), replace(GOOD, requests=0)])
def test_requests_that_fail_or_none_at_all_are_a_fail(seen: Seen) -> None:
    grown = axis("connections", n1=[30.0])
    grown.points[1].samples.append(run(1.0, seen))
    assert grown.verdict == "FAIL"


def test_the_page_names_what_was_skipped_and_why() -> None:
    grown = axis("workers", n1=[30.0])
    grown.skipped[2] = "workers: not supported yet"
    text = scale_report.page([grown], "rounds: 1", True, "scale.png")
    assert "skipped: workers 2: workers: not supported yet" in text
    assert "(scale.png)" in text


def test_the_reason_of_a_refusal_is_the_line_that_names_the_setting() -> None:
    said = "meshproxy did not become ready; its output ends with:\nf.yaml:3: workers: no\nbye"
    assert reason(said) == "f.yaml:3: workers: no"
    assert reason("a\nlast words\n") == "last words"


def test_the_cases_of_an_axis_hold_what_they_count() -> None:
    many = of_routes(ROUTES["mixed"], 120)
    assert len(many.asks) == many.inbound.count("match:") == 120
    assert of_endpoints(300, PORTS, "random").service.count(":82") == 300
    assert of_workers(1).file == ""
    assert of_workers(2).file == "workers: 2\n"


def test_a_quick_look_overwrites_no_page() -> None:
    assert not read_plan(["--quick"]).write
    assert not read_plan(["--only", "routes"]).write
    assert read_plan([]).write


@given(
    gain=st.floats(-100, 100),
    start=st.floats(0, 1e6),
    xs=st.lists(st.integers(0, 10_000), min_size=2, max_size=30, unique=True),
)
def test_the_slope_of_a_line_is_its_gain(gain: float, start: float, xs: list[int]) -> None:
    found = slope([(float(x), start + gain * x) for x in xs])
    assert math.isclose(found, gain, rel_tol=1e-4, abs_tol=1e-4)


def test_noise_around_a_level_has_no_slope() -> None:
    assert slope([(0.0, 5.0), (1.0, 7.0), (2.0, 7.0), (3.0, 5.0)]) == 0.0
    assert slope([(1.0, 5.0), (1.0, 9.0)]) == slope([(1.0, 5.0)]) == slope([]) == 0.0


def soaked(**changed: int) -> Soak:
    """A run that meets every bar, with another end where asked."""
    counts = dict.fromkeys(BACK, 5)
    base = soak_report.Sample(0, 0.0, 60_000.0, counts)
    found = Soak(1_000_000, base, replace(base, counts={**counts, **changed}))
    found.samples = [
        soak_report.Sample(n * 100_000, n * 10.0, 61_000.0 + n, counts) for n in range(1, 11)
    ]
    found.codes = {"200": 980_000, "503": 15_000, "499": 5_000}
    return found


def test_a_run_that_leaves_nothing_behind_passes() -> None:
    assert passed(soaked())
    assert "MISSED" not in soak_report.page(soaked())


@pytest.mark.parametrize("name", BACK)
def test_one_of_anything_left_is_a_leak(name: str) -> None:
    assert not passed(soaked(**{name: 6}))
    assert passed(soaked(**{name: 4}))


def test_memory_that_grows_by_a_kib_is_a_leak_and_what_came_before_it_was_warm_is_not() -> None:
    grown = soaked()
    grown.samples = [replace(one, rss=one.requests / 10_000 * 1.01) for one in grown.samples]
    assert not passed(grown)
    cold = soaked()
    cold.samples.insert(0, replace(cold.samples[0], requests=499_999, rss=1.0))
    assert passed(cold)


@pytest.mark.parametrize(
    "codes", [{"200": 1_000_000}, {"200": 900_000, "502": 100_000}, {"200": 999_000, "499": 1_000}]
)
def test_a_soak_with_too_few_faults_or_too_many_shows_nothing(codes: dict[str, int]) -> None:
    odd = soaked()
    odd.codes = codes
    assert not passed(odd)


def test_a_soak_that_was_cut_short_or_had_a_problem_fails() -> None:
    short = soaked()
    short.samples = short.samples[:5]
    assert not passed(short)
    bad = soaked()
    bad.problems.append("the sidecar logged a traceback")
    assert not passed(bad)
    assert "traceback" in soak_report.page(bad)


def test_the_bar_is_ten_percent_and_a_kib() -> None:
    assert (BAR, soak_report.SLOPE_BAR) == (1.10, 1.0)
