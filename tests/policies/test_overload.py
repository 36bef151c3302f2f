"""Under pressure connections close, then the less important are refused; shadow only counts."""

from __future__ import annotations

import random
from typing import Any

import pytest

from meshproxy.core.exchange import Exchange
from meshproxy.core.verdict import Refusal
from meshproxy.policies.overload import CELL, Gauge, OverloadSpec, bounds

from .limits_scene import Scene, exchange


class Pressed:
    """A policy, and the gauge of the same scene."""

    def __init__(self, level: float, why: str = "loop_lag", **raw: Any) -> None:
        self.scene = Scene()
        self.policy: Any = OverloadSpec.model_validate(raw).build(self.scene.scope())
        self.gauge = self.scene.draft.state(CELL, Gauge)
        self.gauge.pressure.level = level
        self.gauge.pressure.why = why

    def ask(self, priority: int = 1) -> tuple[Exchange, Any]:
        made = exchange()
        made.more().priority = priority
        return made, self.policy.admit(made, 1000.0)


@pytest.mark.parametrize(
    ("level", "stays", "refused"),
    [
        (0.0, True, [False, False, False]),
        (0.4, True, [False, False, False]),
        (0.5, False, [False, False, False]),
        (2.0, False, [False, False, True]),
        (3.0, False, [False, True, True]),
    ],
)
def test_the_ladder(level: float, stays: bool, refused: list[bool]) -> None:
    pressed = Pressed(level)
    asked = [pressed.ask(priority) for priority in (0, 1, 2)]
    assert [made.keep_alive for made, _ in asked] == [stays] * 3
    assert [isinstance(verdict, Refusal) for _, verdict in asked] == refused


@pytest.mark.parametrize("why", ["loop_lag", "memory"])
def test_who_is_refused_is_told_why_and_when_to_come_back(why: str) -> None:
    pressed = Pressed(3.0, why)
    _, verdict = pressed.ask()
    assert (verdict.status, verdict.reason, verdict.retry_after) == (503, "UO", 1.0)
    assert verdict.detail.startswith("overload: ")
    assert pressed.scene.samples()["meshproxy_shed_total", "inbound", "default", why] == 1.0


def test_the_shadow_changes_nothing_and_counts_what_would_be_refused() -> None:
    draws = random.Random(7)
    enforced, shadowed = Pressed(0.0), Pressed(0.0, mode="shadow")
    refused = 0
    for _ in range(2000):
        level, priority = draws.uniform(0.0, 3.0), draws.randrange(3)
        for each in (enforced, shadowed):
            each.gauge.pressure.level = level
        refused += isinstance(enforced.ask(priority)[1], Refusal)
        made, verdict = shadowed.ask(priority)
        assert (made.keep_alive, verdict) == (True, None)
    samples = shadowed.scene.samples()
    key = ("meshproxy_shadow_total", "overload", "inbound", "default", "loop_lag")
    assert samples[key] == refused > 0
    assert not [name for name in samples if name[0] == "meshproxy_shed_total"]


def test_off_is_no_policy_and_nobody_looks() -> None:
    spec = OverloadSpec(mode="off")
    scene = Scene()
    assert spec.build(scene.scope()) is None
    assert bounds(spec, scene.draft) == bounds(None, scene.draft) == (None, None)


def test_all_routes_and_generations_share_one_gauge() -> None:
    scene = Scene()
    OverloadSpec().build(scene.scope())
    gauge, most = bounds(OverloadSpec.model_validate({"memory": "50%"}), scene.draft)
    assert gauge is not None
    gauge.look(most, 0.0, 0.6, 0.1)
    assert gauge.is_short_of_memory()
    scene.reload()
    OverloadSpec().build(scene.scope())
    assert bounds(OverloadSpec(), scene.draft)[0] is gauge
    assert scene.samples()["meshproxy_overload_level",] == 0.5
    report = scene.reports("overload")[0]
    assert (report["why"], report["memory"], report["shed"]["low"]) == ("memory", 0.6, 0.0)


def test_what_is_ended_for_its_memory_is_counted_with_what_is_refused() -> None:
    scene = Scene()
    OverloadSpec().build(scene.scope())
    gauge, most = bounds(OverloadSpec(), scene.draft)
    assert gauge is not None
    assert gauge.over(most, 0.94) < 0.0
    assert gauge.pressure.level == 0.0
    assert gauge.over(most, 0.99) == pytest.approx(0.04)
    assert gauge.is_short_of_memory()
    gauge.ended("inbound", "orders")
    assert scene.samples()["meshproxy_shed_total", "inbound", "orders", "memory"] == 1.0


def test_the_shadow_ends_nobody() -> None:
    scene = Scene()
    OverloadSpec(mode="shadow").build(scene.scope())
    gauge, most = bounds(OverloadSpec(mode="shadow"), scene.draft)
    assert gauge is not None
    assert gauge.over(most, 0.99) < 0.0
    assert gauge.pressure.level == 0.0


def test_both_bounds_stand_by_default_and_either_can_be_off() -> None:
    assert (OverloadSpec().most.loop_lag, OverloadSpec().most.memory) == (0.1, 0.9)
    assert OverloadSpec.model_validate({"loop_lag": "off"}).most.loop_lag == 0.0
