"""No more exchanges run than there are places, none waits out of turn, and no place is lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import data, integers
from pydantic import ValidationError

from meshproxy.core.exchange import Exchange
from meshproxy.core.verdict import Failure, Hold, Refusal
from meshproxy.policies.concurrency import Adaptive, Concurrency, ConcurrencySpec

from .limits_scene import Scene, exchange

NOW = 1000.0


class Walk:
    """What the data plane does with an exchange, as far as a place is concerned."""

    def __init__(self, policy: Any, ends_at_once: bool = False, priority: int = 1) -> None:
        self.exchange: Exchange = exchange()
        self.exchange.more().priority = priority
        self.policy = policy
        self.ends_at_once = ends_at_once
        self.state = "new"
        self.refusal: Refusal | None = None
        self._ask(NOW)

    def _ask(self, now: float) -> None:
        verdict = self.policy.admit(self.exchange, now)
        if isinstance(verdict, Hold):
            assert verdict.again
            assert verdict.expired is None
            self.state = "parked"
            self.exchange.wake = self.woken
        elif isinstance(verdict, Refusal):
            self.refusal = verdict
            self.end("refused")
        else:
            self._runs()

    def woken(self, now: float) -> None:
        """By a place that came free; by somebody more important; or because time is up."""
        self.exchange.wake = None
        self._ask(now)

    def _runs(self) -> None:
        assert self.state in ("new", "parked"), "woken twice"
        self.state = "running"
        if self.ends_at_once:
            self.end()

    def end(self, state: str = "over") -> None:
        self.state = state
        self.exchange.wake = None
        self.exchange.concluded = True
        for release in self.exchange.deferred:
            release(NOW)


def policy(scene: Scene | None = None, **raw: Any) -> Concurrency:
    built = ConcurrencySpec.model_validate(raw).build((scene or Scene()).scope())
    assert isinstance(built, Concurrency)
    return built


def test_places_are_taken_and_the_rest_is_refused() -> None:
    narrow = policy(max=2, queue=0)
    walks = [Walk(narrow) for _ in range(3)]
    assert [walk.state for walk in walks] == ["running", "running", "refused"]
    verdict = narrow.admit(exchange(), NOW)
    assert isinstance(verdict, Refusal)
    assert (verdict.status, verdict.reason, verdict.retry_after) == (503, "UO", 1.0)
    assert verdict.detail == "concurrency: all 2 places are taken"
    assert verdict.rule == "inbound (mesh.yaml:7)"


def test_a_free_place_goes_to_whoever_waited_longest() -> None:
    narrow = policy(max=1, queue=2)
    running, first, second = (Walk(narrow) for _ in range(3))
    assert (first.state, second.state) == ("parked", "parked")
    running.end()
    assert (first.state, second.state) == ("running", "parked")
    first.end()
    assert second.state == "running"


def test_who_waits_too_long_is_refused_and_frees_nothing() -> None:
    narrow = policy(max=1, queue=1, queue_timeout="250ms")
    running, late = Walk(narrow), Walk(narrow)
    assert late.state == "parked"
    late.woken(NOW)
    assert (late.state, running.state) == ("refused", "running")
    assert late.refusal is not None
    assert (late.refusal.status, late.refusal.reason) == (503, "UO")
    assert late.refusal.detail == "concurrency: all 1 places are taken, and none came free in time"
    assert (narrow.report(NOW)["queued"], narrow.report(NOW)["refused"]) == (0, 1)
    assert Walk(narrow).state == "parked"


def test_one_waits_as_long_as_the_file_says() -> None:
    narrow = policy(max=1, queue=1, queue_timeout="250ms")
    Walk(narrow)
    hold = narrow.admit(exchange(), NOW)
    assert isinstance(hold, Hold)
    assert hold.seconds == 0.25


def test_the_more_important_is_let_in_first() -> None:
    narrow = policy(max=1, queue=4)
    running = Walk(narrow)
    low, normal, high, other = (Walk(narrow, priority=rank) for rank in (2, 1, 0, 1))
    for ends, seated in ((running, high), (high, normal), (normal, other), (other, low)):
        ends.end()
        assert seated.state == "running"


def test_a_full_queue_puts_out_the_least_important() -> None:
    narrow = policy(max=1, queue=2)
    Walk(narrow)
    normal, low = Walk(narrow), Walk(narrow, priority=2)
    high = Walk(narrow, priority=0)
    assert (normal.state, low.state, high.state) == ("parked", "refused", "parked")
    assert low.refusal is not None
    assert low.refusal.detail.endswith("and so is the queue of 2")
    assert Walk(narrow, priority=2).state == "refused"
    assert Walk(narrow).state == "refused", "an equal puts nobody out"
    assert narrow.report(NOW)["queued"] == 2


def test_what_is_shed_is_counted_by_why() -> None:
    scene = Scene()
    narrow = policy(scene, max=1, queue=1)
    Walk(narrow)
    late = Walk(narrow)
    Walk(narrow)
    late.woken(NOW)
    samples = scene.samples()
    for why in ("concurrency", "queue_timeout"):
        assert samples["meshproxy_shed_total", "inbound", "default", why] == 1.0


def test_off_is_no_policy_at_all() -> None:
    assert ConcurrencySpec(mode="off").build(Scene().scope()) is None


def test_a_full_queue_takes_nobody() -> None:
    narrow = policy(max=1, queue=1)
    walks = [Walk(narrow) for _ in range(3)]
    assert [walk.state for walk in walks] == ["running", "parked", "refused"]
    assert narrow.report(NOW)["refused"] == 1


def test_whoever_left_the_queue_is_passed_over() -> None:
    narrow = policy(max=1, queue=3)
    running, gone, expired, waits = (Walk(narrow) for _ in range(4))
    gone.end()
    expired.exchange.wake = None  # its time is up, and its end is on the way
    running.end()
    assert waits.state == "running"
    expired.end()
    assert (narrow.report(NOW)["in_use"], narrow.report(NOW)["queued"]) == (1, 0)


def test_a_long_queue_of_short_exchanges_is_no_deep_recursion() -> None:
    narrow = policy(max=1, queue=5000)
    running = Walk(narrow)
    waiting = [Walk(narrow, ends_at_once=True) for _ in range(5000)]
    running.end()
    assert {walk.state for walk in waiting} == {"over"}
    assert narrow.report(NOW)["in_use"] == 0


def test_places_survive_a_reload() -> None:
    scene = Scene()
    old = policy(scene, max=3, queue=0)
    walks = [Walk(old) for _ in range(3)]
    scene.reload()
    new = policy(scene, max=2, queue=0)
    assert Walk(new).state == "refused"
    walks[0].end()
    assert Walk(new).state == "refused"
    walks[1].end()
    assert Walk(new).state == "running"


def test_a_lowered_limit_holds_for_those_who_queue_after_it() -> None:
    scene = Scene()
    old = [Walk(policy(scene, max=4, queue=4)) for _ in range(2)]
    scene.reload()
    new = policy(scene, max=1, queue=4)
    waiting = [Walk(new) for _ in range(3)]
    old[0].end()
    assert [walk.state for walk in waiting] == ["parked"] * 3
    old[1].end()
    assert [walk.state for walk in waiting] == ["running", "parked", "parked"]


def test_a_raised_limit_lets_in_those_who_waited_before_newcomers() -> None:
    scene = Scene()
    old = policy(scene, max=1, queue=5)
    Walk(old)
    waiting = [Walk(old) for _ in range(2)]
    scene.reload()
    newcomer = Walk(policy(scene, max=3, queue=5))
    assert [walk.state for walk in waiting] == ["running", "running"]
    assert newcomer.state == "parked"


def test_clusters_under_one_rule_count_apart() -> None:
    scene = Scene()
    spec = ConcurrencySpec(max=1, queue=0)
    one, other = (
        spec.build(scene.scope("outbound.defaults", cluster=name)) for name in ("users", "payments")
    )
    assert [Walk(p).state for p in (one, other, one)] == ["running", "running", "refused"]
    assert scene.samples() == {
        ("meshproxy_concurrency_in_use", "users", "outbound.defaults"): 1.0,
        ("meshproxy_concurrency_queued", "users", "outbound.defaults"): 0.0,
        ("meshproxy_concurrency_in_use", "payments", "outbound.defaults"): 1.0,
        ("meshproxy_concurrency_queued", "payments", "outbound.defaults"): 0.0,
        ("meshproxy_concurrency_limit", "users", "outbound.defaults"): 1.0,
        ("meshproxy_concurrency_limit", "payments", "outbound.defaults"): 1.0,
        ("meshproxy_shed_total", "inbound", "default", "concurrency"): 1.0,
    }


def test_the_report_shows_the_rule_in_force() -> None:
    scene = Scene()
    policy(scene, max=1)
    scene.reload()
    Walk(policy(scene, max=7, queue=4))
    assert scene.reports("concurrency") == [
        {
            "upstream": "app", "scope": "inbound", "rule": "inbound (mesh.yaml:7)", "max": 7,
            "in_use": 1, "queue": 4, "queued": 0, "refused": 0,
        }
    ]  # fmt: skip


def test_the_defaults_are_those_of_the_reference() -> None:
    spec = ConcurrencySpec()
    assert (spec.max, spec.queue, spec.queue_timeout, spec.always) == (1024, 128, 1.0, True)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"max": 0}, "must be at least 1"),
        ({"queue": -1}, "must be at least 0"),
        ({"max": "adaptive", "min": 5, "ceiling": 4}, "ceiling must not be below min"),
        ({"queue_timeout": 1}, "add a unit"),
        ({"queue_timeout": "0s"}, "queue: 0 does without a queue"),
    ],
)
def test_what_makes_no_sense_is_refused(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ConcurrencySpec.model_validate(raw)
    assert said in str(caught.value)


def adaptive(scene: Scene, **raw: Any) -> Adaptive:
    built = policy(scene, max="adaptive", **raw)
    assert isinstance(built, Adaptive)
    return built


def answer(learning: Adaptive, took: float, now: float, status: int = 200, **ended: Any) -> None:
    """One attempt ends."""
    made = exchange()
    made.sent_at, made.status, made.failure = now - took, status, ended.get("failure")
    learning.settle(made, now)


def teach(learning: Adaptive, took: float, began: float, **ended: Any) -> None:
    for n in range(60):
        answer(learning, took, began + took + n * 0.01, **ended)


def test_an_adaptive_limit_begins_at_its_least_and_lets_few_wait() -> None:
    learning = adaptive(Scene(), min=9)
    walks = [Walk(learning) for _ in range(13)]
    assert [walk.state for walk in walks] == ["running"] * 9 + ["parked"] * 3 + ["refused"]
    assert learning.report(NOW)["max"] == 9


def test_an_adaptive_limit_grows_with_good_answers_where_it_is_used() -> None:
    learning = adaptive(Scene(), min=4, ceiling=7)
    for _ in range(4):
        Walk(learning)
    for second in range(5):
        teach(learning, 0.02, NOW + second)
    waiting = Walk(learning)
    assert waiting.state == "running"
    report = learning.report(NOW)
    assert (report["max"], report["base_ms"], report["adaptive"]) == (7, 20.0, True)


@pytest.mark.parametrize(
    ("status", "failure", "counts"),
    [
        (200, None, True),
        (404, None, True),
        (503, None, False),
        (0, Failure.CONNECT, False),
        (0, Failure.CLIENT_GONE, False),
        (0, Failure.TRY_TIMEOUT, True),
    ],
)
def test_fast_errors_say_nothing_of_how_fast_answers_are(
    status: int, failure: Failure | None, counts: bool
) -> None:
    learning = adaptive(Scene())
    teach(learning, 0.02, NOW, status=status, failure=failure)
    assert (learning.report(NOW)["base_ms"] > 0) is counts


def test_what_was_learned_survives_a_reload() -> None:
    scene = Scene()
    teach(adaptive(scene), 0.02, NOW)
    scene.reload()
    assert adaptive(scene, min=5).report(NOW)["base_ms"] == 20.0


class Crowd(RuleBasedStateMachine):
    """Exchanges come, wait, run, expire and leave in any order; a reload may change the numbers."""

    @initialize(most=integers(1, 4), queue=integers(0, 4))
    def open(self, most: int, queue: int) -> None:
        self.scene = Scene()
        self.walks: list[Walk] = []
        self.change(most, queue)

    @rule(most=integers(1, 4), queue=integers(0, 4))
    def change(self, most: int, queue: int) -> None:
        self.policy = policy(self.scene, max=most, queue=queue)
        self.scene.reload()
        self.ceiling = max(most, len(self._in("running")))

    @rule(priority=integers(0, 3))
    def arrive(self, priority: int) -> None:
        parked = self._in("parked")
        self.walks.append(Walk(self.policy, priority=priority))
        if self.walks[-1].state == "running":
            assert not set(parked) & set(self._in("parked")), "somebody was overtaken"

    @rule()
    def arrive_and_end_as_soon_as_let_in(self) -> None:
        self.walks.append(Walk(self.policy, ends_at_once=True))

    @precondition(lambda self: any(w.state == "parked" for w in self.walks))
    @rule()
    def time_is_up(self) -> None:
        self._in("parked")[0].woken(NOW)

    @precondition(lambda self: any(w.state in ("running", "parked") for w in self.walks))
    @rule(draw=data())
    def end(self, draw: Any) -> None:
        alive = [walk for walk in self.walks if walk.state in ("running", "parked")]
        at = draw.draw(integers(0, len(alive) - 1))
        alive[at].end()

    def _in(self, state: str) -> list[Walk]:
        return [walk for walk in self.walks if walk.state == state]

    @invariant()
    def every_place_is_accounted_for(self) -> None:
        if hasattr(self, "policy"):
            report = self.policy.report(NOW)
            assert report["in_use"] == len(self._in("running")) <= self.ceiling
            assert report["queued"] == len(self._in("parked"))

    def teardown(self) -> None:
        for walk in self.walks if hasattr(self, "walks") else ():
            if walk.state in ("running", "parked"):
                walk.end()
        if hasattr(self, "policy"):
            report = self.policy.report(NOW)
            assert (report["in_use"], report["queued"]) == (0, 0)


Crowd.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCrowd = Crowd.TestCase
