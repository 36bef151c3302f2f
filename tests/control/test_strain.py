"""The lateness of a timer is measured at each look; memory now and then, and given back."""

from __future__ import annotations

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
        self.strain = Strain(self._used, self._trim, 1000.0)

    def look(self, most: Any, lag: float, memory: float, elapsed: float) -> None:
        self.seen.append((most, round(lag, 6), memory, round(elapsed, 6)))

    def is_short_of_memory(self) -> bool:
        return self.short

    def _used(self) -> float:
        self.reads += 1
        return self.memory

    def _trim(self) -> None:
        self.trims += 1

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


def test_freed_memory_is_given_back_once_a_second_while_it_is_short() -> None:
    scene = Scene()
    scene.strain.follow(scene, None)
    scene.strain.look(0.0, 1000.1)
    assert scene.trims == 0
    scene.short = True
    for n in range(40):
        scene.strain.look(0.0, 1000.2 + n * 0.05)
    assert scene.trims == 2
