"""The courier: batches, tries again, gives up in the end, and never holds more than it may."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.control import courier
from meshproxy.control.courier import Courier, Verdict, pause
from tests.telemetry.spans_scene import parsed, spans_in

from .exporting import AGAIN, Scene, play


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "SHORTEST_PAUSE", 0.001)
    monkeypatch.setattr(courier, "GOODBYE", 0.2)


def test_what_waits_leaves_after_the_interval_in_one_batch() -> None:
    async def script(scene: Scene) -> None:
        scene.follow()
        scene.add(3)
        await scene.post.posts(1)
        await scene.idle()
        assert scene.counts() == {"sent": 6}
        (body,) = scene.post.bodies
        request = parsed(gzip.decompress(body.data))
        assert len(spans_in(request)) == body.size == 6
        assert body.gzip

    assert play(script).told == []


def test_a_full_batch_does_not_wait() -> None:
    async def script(scene: Scene) -> None:
        scene.follow(interval=3600.0, batch=4)
        scene.add(5)
        await scene.post.posts(2)
        await scene.until(lambda: scene.counts() == {"sent": 8})
        assert [body.size for body in scene.post.bodies] == [4, 4]
        assert scene.spans.held == 2

    scene = play(script)
    assert scene.counts() == {"sent": 10}, "the rest at the end"


def test_without_compression_it_is_plain_json() -> None:
    async def script(scene: Scene) -> None:
        scene.follow(gzip=False)
        scene.add()
        await scene.post.posts(1)
        (body,) = scene.post.bodies
        assert not body.gzip
        assert json.loads(body.data)["resourceSpans"]

    play(script)


def test_the_same_batch_goes_again_until_it_is_taken() -> None:
    async def script(scene: Scene) -> None:
        scene.follow()
        scene.add(2)
        await scene.post.posts(3)
        await scene.idle()
        assert len({body.data for body in scene.post.bodies}) == 1
        assert scene.counts() == {"sent": 4}

    told = [event for event, _ in play(script, AGAIN, AGAIN).told]
    assert told == ["spans_held_back", "spans_held_back", "spans_sent_again"]


def test_what_was_refused_for_good_is_counted_and_not_sent_again() -> None:
    async def script(scene: Scene) -> None:
        scene.follow()
        scene.add(2)
        await scene.idle()
        assert len(scene.post.bodies) == 1
        assert scene.counts() == {"rejected": 4}

    scene = play(script, Verdict("it answered 400"))
    assert [event for event, _ in scene.told] == ["spans_rejected"]
    assert scene.told[0][1]["why"] == "it answered 400"


def test_of_a_batch_that_was_taken_in_part_the_rest_is_counted() -> None:
    async def script(scene: Scene) -> None:
        scene.follow()
        scene.add(2)
        await scene.idle()
        assert scene.counts() == {"sent": 3, "rejected": 1}

    assert [event for event, _ in play(script, Verdict(rejected=1)).told] == ["spans_rejected"]


def test_a_batch_that_nobody_takes_makes_room_in_the_end() -> None:
    async def script(scene: Scene) -> None:
        scene.follow()
        scene.add()
        await scene.post.posts(2)
        scene.now += courier.KEPT + 1
        await scene.idle()
        assert scene.counts() == {"undelivered": 2}
        scene.add()
        await scene.idle()
        assert scene.counts() == {"undelivered": 2, "sent": 2}

    play(script, AGAIN, AGAIN, AGAIN)


def test_who_asks_for_time_has_it_also_before_the_next_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rests: list[float] = []

    async def script(scene: Scene) -> None:
        async def rest(courier: Courier, seconds: float) -> None:
            rests.append(seconds)
            scene.now += seconds

        monkeypatch.setattr(Courier, "_rest", rest)
        scene.follow(batch=2)
        scene.add(2)
        await scene.idle()
        assert scene.counts() == {"undelivered": 2, "sent": 2}

    play(script, Verdict("it answered 429", again=True, retry_after=200.0))
    assert rests == [200.0]


def test_while_a_collector_hangs_the_queue_stays_within_its_bound() -> None:
    async def script(scene: Scene) -> None:
        scene.post.hangs = True
        scene.follow(queue=20, batch=4)
        for _ in range(50):
            scene.add()
            await asyncio.sleep(0)
            assert scene.spans.held <= 20
        await scene.post.posts(1)
        assert scene.spans.lost == 80
        assert len(scene.post.bodies) == 1, "one request at a time"

    scene = play(script)
    assert scene.counts() == {"undelivered": 20}
    assert scene.told[-1] == (
        "spans_lost", {"level": "warning", "spans": 20, "why": "nobody took them in time"}
    )  # fmt: skip
    assert scene.post.closed


def test_at_the_end_there_is_one_try_and_no_back_off() -> None:
    async def script(scene: Scene) -> None:
        scene.follow(interval=3600.0)
        scene.add()

    scene = play(script, AGAIN)
    assert len(scene.post.bodies) == 1
    assert scene.counts() == {"undelivered": 2}


def test_the_end_comes_in_the_middle_of_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "SHORTEST_PAUSE", 50.0)

    async def script(scene: Scene) -> None:
        await scene.paused()

    scene = play(script, AGAIN)
    assert scene.counts() == {"sent": 2}


def test_a_reload_tries_the_new_place_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "SHORTEST_PAUSE", 50.0)

    async def script(scene: Scene) -> None:
        await scene.paused()
        scene.follow(timeout=3.0, queue=100, batch=50)
        await scene.post.posts(2)
        await scene.idle()
        assert [one.timeout for one in scene.post.deliveries] == [10.0, 3.0]
        assert scene.counts() == {"sent": 2}
        assert (scene.spans.bound, scene.spans.batch) == (100, 50)

    play(script, AGAIN)


def test_a_reload_that_changes_nothing_does_not_disturb_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(courier, "SHORTEST_PAUSE", 50.0)

    async def script(scene: Scene) -> None:
        await scene.paused()
        scene.follow()
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(scene.post.bodies) == 1

    play(script, AGAIN)


def test_traffic_has_its_turn_while_a_batch_is_encoded() -> None:
    async def script(scene: Scene) -> None:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        scene.add(100)
        task = asyncio.create_task(others())
        scene.follow(batch=1000)
        await scene.post.posts(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert turns >= 100 // courier.SLICE

    play(script)


@given(st.integers(1, 1000), st.floats(0, 1, exclude_max=True), st.floats(-1, 1e6))
def test_a_pause_is_bounded_and_heeds_the_collector(
    failures: int, draw: float, retry_after: float
) -> None:
    seconds = pause(failures, retry_after, draw)
    if retry_after > 0:
        assert seconds == min(retry_after, courier.LONGEST_ASKED)
    else:
        assert courier.SHORTEST_PAUSE <= seconds <= courier.LONGEST_PAUSE
        assert seconds <= max(courier.SHORTEST_PAUSE, courier.FIRST_PAUSE * 2.0 ** (failures - 1))


def test_pauses_are_spread_out_and_grow() -> None:
    assert [pause(failures, -1.0, 0.5) for failures in (1, 2, 3, 9)] == [0.5, 1.0, 2.0, 15.0]
    assert pause(1, -1.0, 0.25) < pause(1, -1.0, 0.75)
