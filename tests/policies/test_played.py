"""Shadow mode admits everyone and counts just those whom the same rule would have refused."""

from __future__ import annotations

import heapq
import itertools
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis.strategies import builds, floats, integers, lists

from meshproxy.core.exchange import Exchange
from meshproxy.core.verdict import Hold, Refusal
from meshproxy.policies.concurrency import ConcurrencySpec

from .limits_scene import Scene, exchange


class Call(NamedTuple):
    """One request: seconds after the one before, how long it takes, how important it is."""

    after: float
    takes: float
    priority: int


CALLS = lists(
    builds(
        Call,
        floats(0.001, 0.5, allow_subnormal=False),
        floats(0.001, 3.0, allow_subnormal=False),
        integers(0, 2),
    ),
    max_size=60,
)


class World:
    """Plays calls through a policy on virtual time, as the data plane would."""

    def __init__(self, scene: Scene, **raw: Any) -> None:
        self.policy: Any = ConcurrencySpec.model_validate(raw).build(scene.scope())
        self.refused = 0
        self._events: list[tuple[float, int, Any]] = []
        self._order = itertools.count()

    def play(self, calls: list[Call]) -> World:
        now = 1000.0
        for call in calls:
            now += call.after
            self._later(now, lambda now, call=call: self._come(call, now))
        while self._events:
            now, _, event = heapq.heappop(self._events)
            event(now)
        return self

    def _later(self, when: float, event: Any) -> None:
        heapq.heappush(self._events, (when, next(self._order), event))

    def _come(self, call: Call, now: float) -> None:
        made = exchange()
        made.more().priority = call.priority
        self._ask(made, call, now)

    def _ask(self, made: Exchange, call: Call, now: float) -> None:
        verdict = self.policy.admit(made, now)
        if isinstance(verdict, Refusal):
            self.refused += 1
            self._end(made, now)
        elif isinstance(verdict, Hold):
            self._park(made, call, now + verdict.seconds)
        else:
            self._later(now + call.takes, lambda now: self._end(made, now))

    def _park(self, made: Exchange, call: Call, until: float) -> None:
        def go_on(now: float) -> None:
            if made.wake is not None:
                made.wake = None
                self._ask(made, call, now)

        made.wake = go_on
        self._later(until, go_on)

    def _end(self, made: Exchange, now: float) -> None:
        made.concluded = True
        for release in made.deferred:
            release(now)


@settings(max_examples=150, deadline=None)
@given(CALLS, integers(1, 4), integers(0, 4))
def test_it_counts_what_enforce_refuses_of_the_same_traffic(
    calls: list[Call], most: int, queue: int
) -> None:
    rule = {"max": most, "queue": queue, "queue_timeout": "400ms"}
    enforced = World(Scene(), **rule).play(calls)
    scene = Scene()
    shadowed = World(scene, **rule, mode="shadow").play(calls)
    assert shadowed.refused == 0
    counted = scene.samples().get(
        ("meshproxy_shadow_total", "concurrency", "inbound", "default", "app"), 0.0
    )
    # What ends after the last arrival is played when somebody looks next.
    shadowed.play([Call(1e6, 0.001, 0)])
    counted = scene.samples().get(
        ("meshproxy_shadow_total", "concurrency", "inbound", "default", "app"), counted
    )
    assert counted == enforced.refused
    assert "meshproxy_shed_total" not in {name[0] for name in scene.samples()}


def test_the_report_says_that_it_is_a_shadow() -> None:
    scene = Scene()
    world = World(scene, max=1, queue=0, mode="shadow")
    world.play([Call(0.1, 1.0, 1), Call(0.1, 1.0, 1)])
    report = scene.reports("concurrency")
    assert [(one["mode"], one["max"], one["would_refuse"]) for one in report] == [("shadow", 1, 1)]
    assert report[0]["in_use"] == 0


def test_what_was_counted_survives_a_reload() -> None:
    scene = Scene()
    calls = [Call(0.1, 1.0, 1), Call(0.1, 1.0, 1)]
    World(scene, max=1, queue=0, mode="shadow").play(calls)
    scene.reload()
    World(scene, max=1, queue=1, mode="shadow")
    assert scene.reports("concurrency")[0]["would_refuse"] == 1


def test_an_adaptive_limit_is_learned_in_the_shadow() -> None:
    scene = Scene()
    world = World(scene, max="adaptive", min=2, mode="shadow")
    for n in range(200):
        made = exchange()
        world.policy.admit(made, 1000.0 + n)
        made.sent_at, made.status = 1000.0 + n, 200
        world.policy.settle(made, 1000.02 + n)
        world._end(made, 1000.02 + n)
    report = scene.reports("concurrency")[0]
    assert (report["adaptive"], report["base_ms"], report["max"]) == (True, 20.0, 3)
