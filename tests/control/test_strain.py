"""The lateness of a timer is measured at each look; memory now and then, and given back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meshproxy.control.strain import Strain


class Scene:
    """A gauge that remembers, memory that is set, and a clock that is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, float, float, float]] = []
        self.memory = 0.25
        self.reads = self.trims = 0
        self.short = False
        self.bound = 10.0
        self.trim_takes = 0.0
        self.relieved: list[float] = []
        self.told: list[tuple[str, str]] = []
        self.strain = Strain(self._used, self._trim, self._relieve, 1000.0)

    def look(self, most: Any, lag: float, memory: float, elapsed: float) -> None:
        self.seen.append((most, round(lag, 6), memory, round(elapsed, 6)))

    def over(self, most: Any, memory: float) -> float:
        return memory - self.bound

    def ended(self, direction: str, route: str) -> None:
        self.told.append((direction, route))

    def is_short_of_memory(self) -> bool:
        return self.short

    def _used(self) -> float:
        self.reads += 1
        return self.memory

    def _trim(self) -> float:
        self.trims += 1
        return self.trim_takes

    def _relieve(self, share: float, tell: Callable[[str, str], None]) -> int:
        self.relieved.append(round(share, 6))
        if share >= 0.0:
            tell("inbound", "orders")
        return int(share >= 0.0)

    def sampled(self) -> dict[str, float]:
        return {sample.family: sample.value for sample in self.strain.samples()}


def test_the_worst_of_late_is_told_and_forgotten_by_and_by() -> None:
    scene = Scene()
    scene.strain.look(1000.025, 1000.225)
    assert scene.strain.lag == pytest.approx(0.2)
    scene.strain.look(1001.225, 1001.225)
    assert scene.strain.lag == pytest.approx(0.1)


def test_the_gauge_is_told_how_late_a_look_was() -> None:
    scene = Scene()
    scene.strain.follow(scene, "bounds")
    scene.strain.look(1000.025, 1000.025)
    scene.strain.look(1000.05, 1000.2)
    assert scene.seen == [("bounds", 0.0, 0.25, 0.025), ("bounds", 0.15, 0.25, 0.175)]


def test_a_timer_that_fires_early_is_not_late() -> None:
    scene = Scene()
    scene.strain.follow(scene, None)
    scene.strain.look(1000.025, 1000.024)
    assert scene.seen[0][1] == 0.0


def test_memory_is_read_ten_times_a_second() -> None:
    scene = Scene()
    scene.strain.follow(scene, None)
    for n in range(64):
        scene.strain.look(0.0, 1000.0 + n * 0.03125)
    assert scene.reads == 16


def test_nothing_is_read_while_nobody_wants_to_know() -> None:
    scene = Scene()
    scene.strain.look(1000.0, 1000.5)
    scene.strain.follow(scene, None)
    scene.strain.follow(None, None)
    scene.strain.look(1000.5, 1000.6)
    assert (scene.reads, scene.seen) == (0, [])
    assert scene.sampled() == {
        "meshproxy_event_loop_lag_seconds": 0.466516, "meshproxy_memory_pressure": 0.25,
    }  # fmt: skip


def test_the_worst_lag_is_still_seen_a_while_later() -> None:
    scene = Scene()
    scene.strain.look(1000.0, 1000.4)
    scene.strain.look(1001.4, 1001.4)
    assert scene.sampled()["meshproxy_event_loop_lag_seconds"] == 0.2


def test_freed_memory_is_given_back_ten_times_a_second_while_it_is_short() -> None:
    scene = Scene()
    scene.strain.follow(scene, None)
    scene.strain.look(0.0, 1000.1)
    assert scene.trims == 0
    scene.short = True
    for n in range(32):
        scene.strain.look(0.0, 1001.0 + n * 0.0625)
    assert scene.trims == 16


def test_where_that_takes_long_it_is_done_less_often() -> None:
    scene = Scene()
    scene.strain.follow(scene, None)
    scene.short, scene.trim_takes = True, 0.05
    for n in range(64):
        scene.strain.look(0.0, 1001.0 + n * 0.0625)
    assert scene.trims == 4, "a twentieth of four seconds"


def test_memory_is_read_at_every_look_where_half_of_it_is_used() -> None:
    scene = Scene()
    scene.bound, scene.memory = 0.95, 0.5
    scene.strain.follow(scene, None)
    for n in range(64):
        scene.strain.look(0.0, 1000.0 + n * 0.03125)
    assert scene.reads == 64
    assert scene.relieved[-1] == -0.45, "what is left is told too"


def test_what_would_be_used_up_before_the_next_look_is_freed_now() -> None:
    scene = Scene()
    scene.bound, scene.memory = 0.95, 0.7
    scene.strain.follow(scene, None)
    scene.strain.look_at_memory(1000.0)
    scene.strain.look_at_memory(1000.1)
    assert scene.told == []
    scene.memory = 0.84
    scene.strain.look_at_memory(1000.2)
    assert scene.relieved[-1] == 0.03, "it grew by 0.14, and may once more"
    assert scene.told == [("inbound", "orders")]
    assert scene.trims == 1
    scene.memory = 0.8
    scene.strain.look_at_memory(1000.3)
    assert scene.relieved[-1] == -0.15
    assert len(scene.told) == 1


def test_who_follows_no_more_has_let_everybody_in_again() -> None:
    scene = Scene()
    scene.bound, scene.memory = 0.5, 0.9
    scene.strain.follow(scene, None)
    scene.strain.look_at_memory(1000.0)
    assert scene.relieved[-1] > 0.0
    scene.strain.follow(None, None)
    assert scene.relieved[-1] < 0.0


def test_nobody_is_relieved_while_nobody_wants_to_know() -> None:
    scene = Scene()
    scene.bound, scene.memory = 0.5, 0.9
    scene.strain.look_at_memory(1000.0)
    assert (scene.reads, scene.relieved) == (0, [])
