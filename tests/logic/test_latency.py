"""The sketch against the exact percentile: never early, hardly late, and it forgets."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis.strategies import floats, lists

from meshproxy.logic.latency import BEYOND, BUCKETS, FIRST, FRESH, MANY, MINUTE, Sketch

TENTH = 2.0 ** (1 / 8)


def exact(answers: list[float], share: float) -> float:
    """The least time within which at least this share of the answers came."""
    beyond = int(len(answers) * (1.0 - share) + 1e-9)
    return sorted(answers)[len(answers) - 1 - beyond]


@given(lists(floats(min_value=FIRST, max_value=100.0), min_size=100, max_size=300))
def test_a_percentile_is_never_early_and_at_most_a_tenth_late(answers: list[float]) -> None:
    sketch = Sketch(0.95, 0.0)
    for seconds in answers:
        sketch.add(seconds, 0.0)
    found = sketch.percentile(1.0)
    assert found is not None
    assert exact(answers, 0.95) * (1.0 - 1e-6) <= found
    assert found <= exact(answers, 0.95) * TENTH * (1.0 + 1e-6)


@pytest.mark.parametrize(("share", "enough"), [(0.5, 10), (0.95, 100), (0.99, 500)])
def test_nothing_is_said_of_a_percentile_before_a_few_lie_beyond_it(
    share: float, enough: int
) -> None:
    sketch = Sketch(share, 0.0)
    assert sketch.percentile(0.0) is None
    for _ in range(enough - 1):
        sketch.add(0.01, 0.0)
    assert sketch.percentile(1.0) is None
    sketch.add(0.01, 0.0)
    assert sketch.percentile(1.0) == pytest.approx(0.01, rel=0.1)


def test_times_beyond_both_ends_are_counted_at_the_ends() -> None:
    sketch = Sketch(0.5, 0.0)
    for _ in range(20):
        sketch.add(0.0, 0.0)
    assert sketch.percentile(0.0) == FIRST
    for _ in range(80):
        sketch.add(1e9, 0.0)
    assert sketch.percentile(1.0) == pytest.approx(FIRST * 2.0 ** ((BUCKETS - 1) / 8))


def test_what_was_found_is_remembered_for_a_moment() -> None:
    sketch = Sketch(0.5, 0.0)
    for _ in range(20):
        sketch.add(0.001, 0.0)
    before = sketch.percentile(0.0)
    for _ in range(100):
        sketch.add(1.0, 0.0)
    assert sketch.percentile(FRESH / 2) == before
    assert sketch.percentile(FRESH) == pytest.approx(1.0, rel=0.1)


def test_an_upstream_that_becomes_slower_is_learned_anew() -> None:
    draw = random.Random(1)
    sketch, now = Sketch(0.95, 0.0), 0.0
    for scale, count in ((0.01, 20_000), (0.1, 4_000)):
        for _ in range(count):
            now += 0.01
            sketch.add(scale * draw.uniform(0.5, 1.0), now)
    assert sketch.percentile(now) == pytest.approx(0.1, rel=0.12)


def test_memory_is_bounded_by_many_times_what_is_enough() -> None:
    sketch = Sketch(0.95, 0.0)
    for _ in range(100_000):
        sketch.add(0.01, 0.0)
    assert sketch.total <= MANY * BEYOND / 0.05 + 1.0


def test_a_trickle_of_answers_is_enough_and_old_ones_still_fade() -> None:
    sketch, now = Sketch(0.95, 0.0), 0.0
    for _ in range(600):
        now += 1.0
        sketch.add(0.01, now)
    assert sketch.percentile(now) is not None
    assert sketch.total <= 2 * BEYOND / 0.05 + MINUTE


def test_a_peek_sees_what_is_asked_next_and_remembers_nothing() -> None:
    sketch, now = Sketch(0.95, 0.0), 0.0
    assert sketch.peek(now) is None
    for count in range(400):
        now += 0.01
        sketch.add(0.01 * (1 + count % 7), now)
        foreseen = sketch.peek(now)
        assert sketch.peek(now) == foreseen
        if count % 9 == 0:
            assert sketch.percentile(now) == foreseen
