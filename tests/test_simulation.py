"""What the simulated fleet shows of the balancers; its time is virtual and its chance seeded."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from loadtests.balancers import NAIVE, ODD, contenders, page, read_options, rows, simulate
from loadtests.fleet import Outcome, Server, World, skewed

SECONDS = 20.0


@pytest.fixture(scope="module")
def outcomes() -> Mapping[str, Outcome]:
    return simulate(1500.0, SECONDS, 3)


def test_a_seed_gives_the_same_run_again(outcomes: Mapping[str, Outcome]) -> None:
    again = World(skewed(SECONDS), 1500.0, SECONDS, 3).run(contenders()["peak_ewma"])
    assert again == outcomes["peak_ewma"]


def test_every_balancer_meets_the_same_requests(outcomes: Mapping[str, Outcome]) -> None:
    assert len({outcome.requests for outcome in outcomes.values()}) == 1


def test_fast_errors_attract_no_traffic_in_peak_ewma(outcomes: Mapping[str, Outcome]) -> None:
    errors = {name: each.errors / each.requests for name, each in outcomes.items()}
    assert errors["peak_ewma"] < 0.002
    assert errors["peak_ewma, slow start"] < 0.002
    assert errors["random"] == pytest.approx(0.06, abs=0.01)
    assert errors[NAIVE] > 0.09, "that is what its penalty is for"


@pytest.mark.parametrize("balancer", ["least_request", "peak_ewma"])
def test_the_slow_one_gets_less(outcomes: Mapping[str, Outcome], balancer: str) -> None:
    assert outcomes[balancer].share_of("slow") < 0.06
    assert outcomes[balancer].percentile(0.99) < 0.7 * outcomes["random"].percentile(0.99)


@pytest.mark.parametrize("balancer", ["least_request", "peak_ewma"])
def test_slow_start_sends_less_to_the_one_that_is_back(
    outcomes: Mapping[str, Outcome], balancer: str
) -> None:
    plain, slow = outcomes[balancer], outcomes[f"{balancer}, slow start"]
    assert slow.share_of("restarted") < 0.9 * plain.share_of("restarted")


def test_the_bound_keeps_queues_from_a_busy_home(outcomes: Mapping[str, Outcome]) -> None:
    free, bound = outcomes["ring_hash, no bound"], outcomes["ring_hash, 125%"]
    assert bound.percentile(0.99) < 0.5 * free.percentile(0.99)


def test_a_pause_stops_what_was_begun() -> None:
    server = Server("one", median=0.010)
    server.free = [0.0]
    server.pauses = [(0.002, 0.102)]

    class Even:
        def lognormvariate(self, mean: float, deviation: float) -> float:
            return 1.0

    assert server.answer(0.0, Even()) == (200, pytest.approx(0.110))  # type: ignore[arg-type]
    assert server.answer(0.0, Even()) == (200, pytest.approx(0.120))  # type: ignore[arg-type]


def test_the_page_has_a_row_for_each(outcomes: Mapping[str, Outcome]) -> None:
    text = page(outcomes, read_options(["--seconds", "20"]))
    for row in rows(outcomes, SECONDS):
        assert f"| {row[0]}" in text
        assert len(row) == 8 + len(ODD)
