"""The limit settles where an upstream is busy and nobody waits for long, and follows it.

An upstream of so many workers is simulated on virtual time; every draw comes from a seed.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable

import pytest

from meshproxy.logic.gradient import Bounds, Gradient, median

OfTime = Callable[[float], float]


class Simulation:
    """Requests come by chance, `workers` take them in turn, and the limit refuses the rest."""

    def __init__(
        self, rate: OfTime, workers: int, service: OfTime, bounds: Bounds | None = None
    ) -> None:
        self.bounds = bounds or Bounds()
        self.gradient = Gradient(self.bounds, 0.0)
        self.now = 0.0
        self.good = self.shed = 0
        self.took: list[float] = []
        self.least = float("inf")
        self._rate, self._service, self._free = rate, service, workers
        self._random = random.Random(1)
        self._ends: list[tuple[float, float]] = []
        self._waiting: deque[float] = deque()
        self._in_flight = 0
        self._next = 0.0

    def until(self, end: float) -> Simulation:
        """Forget what was counted, and go on to this moment."""
        self.good = self.shed = 0
        self.took = []
        self.least = self.gradient.limit
        while self.now < end:
            self._step()
            self.least = min(self.least, self.gradient.limit)
        return self

    def p99(self) -> float:
        return sorted(self.took)[int(0.99 * len(self.took))]

    def _step(self) -> None:
        if self._ends and self._ends[0][0] <= self._next:
            self.now, began = heapq.heappop(self._ends)
            self._ended(began)
        else:
            self.now = self._next
            self._next += self._random.expovariate(self._rate(self.now))
            self._came()

    def _came(self) -> None:
        if self._in_flight >= int(self.gradient.limit):
            self.shed += 1
            return
        self._in_flight += 1
        if self._free:
            self._free -= 1
            self._work(self.now)
        else:
            self._waiting.append(self.now)

    def _ended(self, began: float) -> None:
        self.gradient.answered(self.bounds, began, self._in_flight, self.now)
        self._in_flight -= 1
        self.good += 1
        self.took.append(self.now - began)
        if self._waiting:
            self._work(self._waiting.popleft())
        else:
            self._free += 1

    def _work(self, began: float) -> None:
        takes = self._service(self.now) * self._random.uniform(0.7, 1.3)
        heapq.heappush(self._ends, (self.now + takes, began))


def steadily(value: float) -> OfTime:
    return lambda now: value


@pytest.mark.parametrize(("workers", "service"), [(10, 0.1), (50, 0.02), (200, 0.05)])
def test_f46_three_times_the_load_costs_no_goodput_and_little_time(
    workers: int, service: float
) -> None:
    capacity = workers / service
    world = Simulation(steadily(3 * capacity), workers, steadily(service))
    world.until(5.0).until(25.0)
    assert world.good >= 0.95 * 20 * capacity
    assert world.p99() <= 2 * 1.3 * service
    assert world.gradient.limit < 2 * workers


def test_f46_shedding_begins_within_a_second_of_the_overload() -> None:
    world = Simulation(lambda now: 400.0 if now < 10.0 else 3000.0, 50, steadily(0.05))
    assert world.until(5.0).until(10.0).shed == 0
    assert world.until(11.0).shed > 0
    world.until(12.0).until(20.0)
    assert world.good >= 0.95 * 8 * 1000


def test_healthy_traffic_is_never_held_back_by_a_measurement() -> None:
    world = Simulation(steadily(1000.0), 100, steadily(0.05))
    world.until(5.0)
    least = world.until(120.0).least
    assert world.shed == 0
    assert least > 50  # what is in flight all the time


@pytest.mark.parametrize("slower", [1.5, 3.0])
def test_an_upstream_that_is_slower_from_now_on_gets_all_its_requests_again(
    slower: float,
) -> None:
    world = Simulation(steadily(1000.0), 200, lambda now: 0.02 if now < 10.0 else 0.02 * slower)
    assert world.until(5.0).until(10.0).shed == 0
    world.until(25.0)
    assert world.until(40.0).shed == 0


def test_an_upstream_that_is_fast_again_is_believed_at_once() -> None:
    world = Simulation(steadily(1000.0), 200, lambda now: 0.06 if 10.0 < now < 30.0 else 0.02)
    world.until(31.0).until(40.0)
    assert world.shed == 0
    assert 0.014 < world.gradient.base < 0.026


def test_half_the_workers_are_gone_and_come_back() -> None:
    """Fewer can be served at once: the line behind them must not grow."""
    world = Simulation(steadily(3000.0), 50, lambda now: 0.1 if 10.0 < now < 20.0 else 0.05)
    world.until(12.0)
    assert world.until(20.0).good >= 0.93 * 8 * 500
    world.until(22.0)
    assert world.until(30.0).good >= 0.95 * 8 * 1000


def test_without_demand_the_limit_does_not_grow() -> None:
    world = Simulation(steadily(20.0), 100, steadily(0.05))
    world.until(60.0)
    assert world.gradient.limit < 20.0  # what chance put in flight at once, doubled


def test_the_limit_stays_between_its_bounds() -> None:
    bounds = Bounds(4, 30)
    fast = Simulation(steadily(10_000.0), 500, steadily(0.05), bounds)
    assert fast.until(10.0).gradient.limit <= 30.0
    slow = Simulation(steadily(500.0), 1, steadily(0.05), bounds)
    assert slow.until(20.0).gradient.limit >= 4.0


def test_what_was_sent_before_the_last_change_is_no_evidence() -> None:
    gradient = Gradient(Bounds(), 10.0)
    for _ in range(100):
        gradient.answered(Bounds(), 9.0, 5, 10.5)
    assert gradient.base == 0.0


def test_a_few_answers_will_do_after_a_while() -> None:
    gradient = Gradient(Bounds(), 0.0)
    for n in range(5):
        gradient.answered(Bounds(), n * 0.2, 1, n * 0.2 + 0.25)
    assert gradient.base == pytest.approx(0.25)


def test_the_median_is_the_middle() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([4.0, 1.0, 2.0, 3.0]) == 2.0
