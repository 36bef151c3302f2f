"""Several limits act as one: all admit, or nothing is spent and the tightest says when to come."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists, tuples

from meshproxy.core.fields import RateOf
from meshproxy.core.report import Steerable
from meshproxy.core.verdict import Refusal
from meshproxy.policies.limits import RateLimits, whole_quota

from .limits_scene import Scene, exchange

NOW = 1000.0


def refused(limits: RateLimits, now: float = NOW, **who: Any) -> Refusal:
    verdict = limits.admit(exchange(**who), now)
    assert verdict is not None
    return verdict


def admitted(limits: RateLimits, asks: int, now: float = NOW, **who: Any) -> int:
    return sum(limits.admit(exchange(**who), now) is None for _ in range(asks))


def test_a_refusal_tells_everything() -> None:
    limits = Scene().limits({"name": "few", "limit": "3/m", "burst": 3})
    assert admitted(limits, 3) == 3
    answer = refused(limits)
    assert (answer.status, answer.reason, answer.retry_after) == (429, "RL", 20.0)
    assert answer.headers == (
        b'RateLimit-Policy: "few";q=3;w=60\r\nRateLimit: "few";r=0;t=20\r\n'
    )  # fmt: skip
    assert answer.detail == 'the rate limit "few" of 3/m is used up'
    assert answer.rule == "inbound (mesh.yaml:7)"
    assert not answer.close


def test_a_short_wait_is_told_as_one_second() -> None:
    limits = Scene().limits({"limit": "100/s", "burst": 1})
    admitted(limits, 1)
    assert refused(limits).retry_after == 1.0


def test_a_refused_request_spends_nothing_of_any_limit() -> None:
    wide = {"name": "wide", "limit": "1/h", "burst": 6}
    narrow = {"name": "narrow", "limit": "1/h", "burst": 2, "per": "header:x-id"}
    for order in ([wide, narrow], [narrow, wide]):
        limits = Scene().limits(*order)
        assert [admitted(limits, 20, x_id=name) for name in "abcd"] == [2, 2, 2, 0]
        assert "wide" in refused(limits, x_id="e").detail


def test_a_refused_request_spends_nothing_of_any_sliding_window() -> None:
    wide = {"name": "wide", "limit": "6/h", "algorithm": "sliding_window"}
    narrow = {"limit": "2/h", "per": "header:x-id", "algorithm": "sliding_window"}
    for order in ([wide, narrow], [narrow, wide]):
        limits = Scene().limits(*order)
        assert [admitted(limits, 20, x_id=name) for name in "abcd"] == [2, 2, 2, 0]


@pytest.mark.parametrize("turn", [1, -1])
def test_the_tightest_limit_is_reported_and_counted_alone(turn: int) -> None:
    scene = Scene()
    entries = [{"name": "hourly", "limit": "1/h"}, {"name": "secondly", "limit": "1/s"}]
    limits = scene.limits(*entries[::turn])
    admitted(limits, 1)
    answer = refused(limits, route="GET /x")
    assert ("hourly" in answer.detail, answer.retry_after) == (True, 3600.0)
    assert scene.samples() == {("meshproxy_rate_limited_total", "inbound", "GET /x", "hourly"): 1.0}


def test_whoever_waits_as_long_as_told_is_admitted() -> None:
    limits = Scene().limits(
        {"limit": "7/m", "burst": 2},
        {"limit": "3/m", "algorithm": "sliding_window"},
        {"limit": "1/10s", "per": "ip"},
    )
    now = NOW
    for _ in range(40):
        while admitted(limits, 1, now):
            pass
        now += refused(limits, now).retry_after
        assert limits.admit(exchange(), now) is None


def test_the_tier_that_refused_is_the_one_described() -> None:
    tiers = {"header": "x-tier", "premium": {"limit": "6/m"}}
    limits = Scene().limits({"name": "t", "limit": "1/m", "tiers": tiers})
    assert admitted(limits, 9, x_tier="premium") == 6
    assert b";q=6;w=60" in refused(limits, x_tier="premium").headers
    assert admitted(limits, 9) == 1
    assert b";q=1;w=60" in refused(limits).headers


@given(
    asks=lists(tuples(integers(0, 3), integers(0, 2), integers(0, 20)), max_size=80),
)
def test_together_they_admit_what_each_alone_would_have_to(
    asks: list[tuple[int, int, int]],
) -> None:
    """Against a model that counts only what was admitted by all."""
    limits = Scene().limits(
        {"name": "all", "limit": "10/m", "algorithm": "sliding_window"},
        {"name": "id", "limit": "4/m", "algorithm": "sliding_window", "per": "header:x-id"},
        {"name": "m", "limit": "5/m", "algorithm": "sliding_window", "per": "method"},
    )
    now, past = NOW, []
    period = 60.0 * (1 + 1 / 200)
    for who, what, gap in asks:
        now += gap
        method = b"M%d" % what
        recent = [(w, m) for at, w, m in past if now - at < 60.0 * 0.98]
        certain = [(w, m) for at, w, m in past if now - at < period]
        fits = [
            len(some) < 10
            and sum(w == who for w, _ in some) < 4
            and sum(m == method for _, m in some) < 5
            for some in (recent, certain)
        ]
        verdict = limits.admit(exchange(x_id=str(who), method=method), now)
        if verdict is None:
            assert fits[0]
            past.append((now, who, method))
        else:
            assert not fits[1]


@pytest.mark.parametrize(
    ("rate", "quota"),
    [
        (RateOf(100.0, 1.0), (100, 1)),
        (RateOf(60.0, 60.0), (60, 60)),
        (RateOf(5.0, 10.0), (5, 10)),
        (RateOf(2.5, 1.0), (2, 1)),
        (RateOf(0.5, 1.0), (1, 2)),
        (RateOf(50.0, 0.5), (100, 1)),
        (RateOf(1.0, 0.3), (3, 1)),
        (RateOf(3.0, 1.5), (3, 2)),
    ],
)
def test_the_policy_field_is_whole_and_never_more_generous(
    rate: RateOf, quota: tuple[int, int]
) -> None:
    assert whole_quota(rate) == quota
    assert quota[0] / quota[1] <= rate.per_second + 1e-9


def limit_named(scene: Scene, name: str) -> Any:
    scene.ledger.keep(scene.draft)
    (found,) = [
        cell for _, cell in scene.ledger.cells()
        if isinstance(cell, Steerable) and cell.names["limit"] == name
    ]  # fmt: skip
    return found


def test_a_limit_that_is_switched_off_admits_all_and_counts_nothing() -> None:
    scene = Scene()
    limits = scene.limits({"name": "few", "limit": "1/h"})
    assert admitted(limits, 3) == 1
    few = limit_named(scene, "few")
    assert (few.orders, few.names) == (
        ("off", "shadow", "enforce"), {"limit": "few", "scope": "inbound", "upstream": "app"},
    )  # fmt: skip
    few.steer("off", NOW)
    assert admitted(limits, 50) == 50
    (report,) = scene.reports("rate-limits")
    assert (report["mode"], report["mode_in_file"], report["forced"]) == ("off", "enforce", "off")
    assert report["refused"] == 2
    few.steer("", NOW)
    assert admitted(limits, 5) == 0
    assert "forced" not in scene.reports("rate-limits")[0]


def test_a_limit_that_is_put_in_shadow_counts_what_it_would_refuse() -> None:
    scene = Scene()
    limits = scene.limits({"name": "few", "limit": "2/h"}, {"name": "many", "limit": "9/h"})
    limit_named(scene, "few").steer("shadow", NOW)
    assert admitted(limits, 12) == 9
    assert scene.samples() == {
        ("meshproxy_rate_limited_total", "inbound", "default", "many"): 3.0,
        ("meshproxy_shadow_total", "rate_limit", "inbound", "default", "few"): 7.0,
    }
    assert {one["name"]: one["refused"] for one in scene.reports("rate-limits")} == {
        "few": 7, "many": 3,
    }  # fmt: skip


def test_a_limit_in_shadow_can_be_put_in_force() -> None:
    scene = Scene()
    limits = scene.limits({"name": "few", "limit": "2/h", "mode": "shadow"})
    assert admitted(limits, 5) == 5
    limit_named(scene, "few").steer("enforce", NOW)
    assert "few" in refused(limits).detail
    assert scene.reports("rate-limits")[0]["refused"] == 1


def test_an_order_reaches_every_route_and_those_that_a_reload_makes() -> None:
    scene = Scene()
    one, other = scene.limits({"limit": "1/h"}), scene.limits({"limit": "1/h"})
    limit_named(scene, "all").steer("off", NOW)
    assert [admitted(limits, 3) for limits in (one, other)] == [3, 3]
    scene.reload()
    assert admitted(scene.limits({"limit": "1/h"}), 3) == 3


def test_whoever_holds_a_limit_no_more_is_forgotten() -> None:
    scene = Scene()
    for _ in range(5):
        scene.limits({"limit": "1/h"})
    gc.collect()
    assert len(limit_named(scene, "all")._holders) == 0


def test_explain_tells_what_an_operator_has_set() -> None:
    scene = Scene()
    limits = scene.limits({"name": "few", "limit": "1/h"}, {"name": "many", "limit": "9/h"})
    few = limit_named(scene, "few")
    admitted(limits, 1)
    few.steer("shadow", NOW)
    steps = list(limits.explain(exchange(), NOW))
    assert [step.verdict for step in steps] == [None, None]
    assert steps[1].says.endswith("an operator set it to shadow")
    few.steer("off", NOW)
    assert [step.data["mode"] for step in limits.explain(exchange(), NOW)] == ["enforce", "off"]
