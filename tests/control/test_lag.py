"""What holds the loop is told while it does, once, with its stack; a stopped process is not it."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from meshproxy.control.lag import MOST, PER, Watchdog, stack_of_this_thread

LIMIT = 0.2
BEAT = 0.025


class Scene:
    """A loop, a thread and a processor whose time is told; both start at 1000.0."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.cpu = 5.0
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.watchdog = Watchdog(
            self.tell, lambda: ["a.py:1 held"], lambda: self.now, lambda: self.cpu
        )
        self.watchdog._limit = LIMIT  # `follow` would start the thread
        self.watchdog.begin()
        self.pause = 0.0

    def tell(self, event: str, **fields: Any) -> None:
        self.told.append((event, fields))

    def events(self) -> list[str]:
        return [event for event, _ in self.told]

    def run(self, seconds: float, *, beats: bool = True) -> None:
        """So long as things are well, or with a loop that is held while the thread is not."""
        end, beat, look = self.now + seconds, self.now, self.now + self.pause
        while min(beat if beats else end, look) < end:
            if beats and beat <= look:
                self.now, beat = beat, beat + BEAT
                self.watchdog.beat(self.now)
            else:
                self.now = look
                self.pause = self.watchdog.look()
                look += self.pause
        self.pause = max(0.0, look - end)
        self.now = end

    def stand_still(self, seconds: float, *, working: bool) -> None:
        """Neither the loop nor the thread runs: in C code that works, or not at all."""
        self.now += seconds
        self.cpu += seconds if working else 0.0
        self.pause = max(0.0, self.pause - seconds)

    def counted(self) -> dict[str, float]:
        return {sample.family: sample.value for sample in self.watchdog.samples()}


def test_a_loop_that_turns_is_not_told_of() -> None:
    scene = Scene()
    scene.run(10.0)
    assert scene.told == []
    assert set(scene.counted().values()) == {0}


def test_f18_a_block_is_told_once_while_it_lasts_and_its_length_counted_after_it() -> None:
    scene = Scene()
    scene.run(1.0)
    scene.run(0.5, beats=False)
    ((event, fields),) = scene.told
    assert event == "event_loop_blocked"
    assert fields["stack"] == ["a.py:1 held"]
    assert fields["level"] == "warning"
    assert fields["seconds"] == pytest.approx(LIMIT, abs=0.001)
    scene.run(1.0)
    assert len(scene.told) == 1
    assert scene.counted()["meshproxy_event_loop_blocked_total"] == 1
    seconds = scene.counted()["meshproxy_event_loop_blocked_seconds_total"]
    assert seconds == pytest.approx(0.5, abs=BEAT * 1.01)


def test_a_block_below_the_limit_is_none() -> None:
    scene = Scene()
    for _ in range(20):
        scene.run(1.0)
        scene.run(LIMIT - 2 * BEAT, beats=False)
    assert scene.told == []


def test_each_block_just_above_the_limit_is_one() -> None:
    scene = Scene()
    for _ in range(5):
        scene.run(1.013)
        scene.run(LIMIT + 0.005, beats=False)
    scene.run(1.0)
    assert scene.counted()["meshproxy_event_loop_blocked_total"] == 5


def test_nobody_is_told_of_the_time_before_the_first_beat() -> None:
    scene = Scene()
    scene.run(5.0, beats=False)
    assert scene.told == []


def test_a_process_that_was_stopped_has_blocked_nothing() -> None:
    scene = Scene()
    scene.run(1.0)
    scene.stand_still(30.0, working=False)
    scene.run(1.0)
    ((event, fields),) = scene.told
    assert event == "process_paused"
    assert "stack" not in fields
    assert fields["seconds"] == pytest.approx(30.0, abs=LIMIT)
    assert scene.counted() == {
        "meshproxy_event_loop_blocked_total": 0,
        "meshproxy_event_loop_blocked_seconds_total": 0,
        "meshproxy_process_paused_total": 1,
    }


def test_a_loop_that_stays_held_after_the_process_was_stopped_is_told_of() -> None:
    scene = Scene()
    scene.run(1.0)
    scene.stand_still(30.0, working=False)
    scene.run(0.5, beats=False)
    assert scene.events() == ["process_paused", "event_loop_blocked"]
    assert scene.told[1][1]["seconds"] == pytest.approx(LIMIT, abs=0.001)
    scene.run(1.0)
    seconds = scene.counted()["meshproxy_event_loop_blocked_seconds_total"]
    assert seconds == pytest.approx(0.5, abs=BEAT * 1.01)


def test_code_that_lets_no_other_thread_run_is_told_when_it_is_over() -> None:
    scene = Scene()
    scene.run(1.0)
    scene.stand_still(3.0, working=True)
    scene.run(0.001, beats=False)
    assert scene.events() == ["event_loop_blocked"]
    assert scene.told[0][1]["seconds"] == pytest.approx(3.0, abs=LIMIT)


def test_so_many_lines_a_minute_and_the_rest_is_counted() -> None:
    scene = Scene()
    for _ in range(MOST + 3):
        scene.run(0.5)
        scene.run(0.5, beats=False)
    assert len(scene.told) == MOST
    assert scene.counted()["meshproxy_event_loop_blocked_total"] == MOST + 3
    scene.run(PER)
    scene.run(0.5, beats=False)
    assert scene.told[-1][1]["left_out"] == 3


def test_off_is_no_thread_and_on_again_is_one() -> None:
    watchdog = Watchdog(lambda *_, **__: None, list)

    def running() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "watchdog"]

    assert running() == []
    for _ in range(2):
        watchdog.follow(LIMIT)
        watchdog.follow(LIMIT)
        (thread,) = running()
        assert thread.daemon
        watchdog.follow(0.0)
        thread.join(10.0)
        assert running() == []


def test_a_real_thread_tells_where_this_one_stands() -> None:
    told: list[dict[str, Any]] = []
    heard = threading.Event()

    def tell(event: str, **fields: Any) -> None:
        if event == "event_loop_blocked":
            told.append(fields)
            heard.set()

    def holds_the_loop() -> bool:
        return heard.wait(10.0)

    watchdog = Watchdog(tell, stack_of_this_thread())
    watchdog.follow(0.05)
    try:
        watchdog.beat(time.monotonic())
        assert holds_the_loop()
    finally:
        watchdog.close()
    assert any("holds_the_loop" in call for call in told[0]["stack"])
