"""The exporter: batches, tries again, gives up in the end, and never holds more than it may."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.control import export
from meshproxy.control.export import Body, Clocks, Courier, Exporter, Verdict, pause
from meshproxy.core.spans import Delivery, Spans
from tests.telemetry.spans_scene import attempt_of, parsed, record_of, spans_in

AGAIN = Verdict("it answered 503", again=True)
SERVICE = ("orders", "1.2")


def delivery(**said: Any) -> Delivery:
    given = {"interval": 0.01, **said}
    return Delivery("http://127.0.0.1:4318/v1/traces", {}, {}, **given)


class Post:
    """A collector that says what it is told to, and keeps what it was sent."""

    def __init__(self, *verdicts: Verdict) -> None:
        self.verdicts = list(verdicts)
        self.bodies: list[Body] = []
        self.deliveries: list[Delivery] = []
        self.closed = False
        self.hangs = False
        self._more = asyncio.Event()

    async def post(self, said: Delivery, body: Body) -> Verdict:
        self.bodies.append(body)
        self.deliveries.append(said)
        self._more.set()
        if self.hangs:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return self.verdicts.pop(0) if self.verdicts else Verdict()

    async def close(self) -> None:
        self.closed = True

    async def posts(self, count: int) -> None:
        """Wait until it was sent so many."""
        while len(self.bodies) < count:
            self._more.clear()
            await asyncio.wait_for(self._more.wait(), 10)


class Scene:
    """An exporter with a queue, a collector, and what it told."""

    def __init__(self, *verdicts: Verdict) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.spans = Spans()
        self.post = Post(*verdicts)
        self.now = 100.0
        clocks = Clocks(lambda: self.now, lambda: 10**18, lambda: 0.0)
        self.exporter = Exporter(self.tell, clocks, lambda: self.post)

    def tell(self, event: str, **fields: Any) -> None:
        self.told.append((event, fields))

    def follow(self, **said: Any) -> None:
        self.exporter.follow(self.spans, delivery(**said), SERVICE)

    def add(self, count: int = 1, attempts: int = 1) -> None:
        for _ in range(count):
            record = record_of()
            for _ in range(attempts):
                attempt_of(record, 200)
            self.spans.add(record)

    def counts(self) -> dict[str, int]:
        told = {one.labels[0][1]: int(one.value) for one in self.exporter.samples()}
        return {outcome: count for outcome, count in told.items() if count}

    async def idle(self) -> None:
        """Wait until nothing is left to be sent."""
        async with asyncio.timeout(10):
            while self.spans.held:
                await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "SHORTEST_PAUSE", 0.001)
    monkeypatch.setattr(export, "GOODBYE", 0.2)


def play(script: Callable[[Scene], Awaitable[None]], *verdicts: Verdict) -> Scene:
    """Run the script in a loop of its own; nothing of the exporter may be left after it."""

    async def whole() -> Scene:
        scene = Scene(*verdicts)
        await script(scene)
        await scene.exporter.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert scene.spans.held == 0
        return scene

    return asyncio.run(whole())


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
        while scene.counts() != {"sent": 8}:
            await asyncio.sleep(0.001)
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
        scene.now += export.KEPT + 1
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
    monkeypatch.setattr(export, "SHORTEST_PAUSE", 50.0)

    async def script(scene: Scene) -> None:
        scene.follow()
        scene.add()
        await scene.post.posts(1)
        await asyncio.sleep(0.01)

    scene = play(script, AGAIN)
    assert scene.counts() == {"sent": 2}


def test_a_reload_tries_the_new_place_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "SHORTEST_PAUSE", 50.0)

    async def script(scene: Scene) -> None:
        scene.follow()
        scene.add()
        await scene.post.posts(1)
        await asyncio.sleep(0.01)
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
    monkeypatch.setattr(export, "SHORTEST_PAUSE", 50.0)

    async def script(scene: Scene) -> None:
        scene.follow()
        scene.add()
        await scene.post.posts(1)
        await asyncio.sleep(0.01)
        scene.follow()
        await asyncio.sleep(0.01)
        assert len(scene.post.bodies) == 1

    play(script, AGAIN)


def test_where_export_is_switched_off_what_waits_still_leaves() -> None:
    async def script(scene: Scene) -> None:
        scene.follow(interval=3600.0)
        scene.add()
        scene.exporter.follow(None, None, SERVICE)
        await scene.idle()
        await asyncio.sleep(0.01)
        assert scene.post.closed
        assert scene.counts() == {"sent": 2}
        scene.add(1000)
        assert len(scene.post.bodies) == 1, "nobody listens to the old queue"
        while scene.spans.held:
            scene.spans.forget(scene.spans.first())

    play(script)


def test_without_export_there_is_no_task_and_no_sample() -> None:
    async def script(scene: Scene) -> None:
        scene.exporter.follow(None, None, SERVICE)
        assert list(scene.exporter.samples()) == []

    play(script)


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
        assert turns >= 100 // export.SLICE

    play(script)


@given(st.integers(1, 1000), st.floats(0, 1, exclude_max=True), st.floats(-1, 1e6))
def test_a_pause_is_bounded_and_heeds_the_collector(
    failures: int, draw: float, retry_after: float
) -> None:
    seconds = pause(failures, retry_after, draw)
    if retry_after > 0:
        assert seconds == min(retry_after, export.LONGEST_ASKED)
    else:
        assert export.SHORTEST_PAUSE <= seconds <= export.LONGEST_PAUSE
        assert seconds <= max(export.SHORTEST_PAUSE, export.FIRST_PAUSE * 2.0 ** (failures - 1))


def test_pauses_are_spread_out_and_grow() -> None:
    assert [pause(failures, -1.0, 0.5) for failures in (1, 2, 3, 9)] == [0.5, 1.0, 2.0, 15.0]
    assert pause(1, -1.0, 0.25) < pause(1, -1.0, 0.75)
