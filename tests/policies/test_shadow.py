"""A rate limit in shadow refuses nobody, and counts exactly whom it would have refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.core.exchange import Exchange

from .limits_scene import Scene, exchange
from .test_limits import NOW, admitted

REFUSED, SHADED = "meshproxy_rate_limited_total", "meshproxy_shadow_total"
Asks = list[tuple[float, str]]

entries = st.fixed_dictionaries(
    {
        "limit": st.sampled_from(["1/s", "2/s", "5/s", "3/2s", "8/m"]),
        "per": st.sampled_from([[], ["header:x-id"], ["route"]]),
        "algorithm": st.sampled_from(["token_bucket", "sliding_window"]),
    },
    optional={
        "keys": st.integers(1, 3),
        "tiers": st.just({"header": "x-id", "b": {"limit": "4/s"}}),
    },
)
asks = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.4, 1.0, 9.0]), st.sampled_from("abcde")))


def counts(scene: Scene, limits: Any, traffic: Asks) -> tuple[int, dict[str, float]]:
    """How many were admitted, and what each limit refused or would have refused."""
    now, passed = NOW, 0
    for pause, who in traffic:
        now += pause
        passed += limits.admit(exchange(x_id=who), now) is None
    found = scene.samples().items()
    return passed, {name[-1]: n for name, n in found if name[0] in (REFUSED, SHADED)}


@given(st.lists(entries, min_size=1, max_size=3), asks)
def test_what_shadow_counts_is_what_enforce_refuses(raw: list[dict[str, Any]], run: Asks) -> None:
    scenes = {mode: Scene() for mode in ("enforce", "shadow")}
    passed, counted = {}, {}
    for mode, scene in scenes.items():
        limits = scene.limits(*({**one, "mode": mode} for one in raw))
        passed[mode], counted[mode] = counts(scene, limits, run)
    assert counted["shadow"] == counted["enforce"]
    assert passed["shadow"] == len(run)
    assert sum(counted["enforce"].values()) == len(run) - passed["enforce"]


@given(entries, entries, asks)
def test_a_limit_in_shadow_sees_what_those_in_force_let_through(
    strict: dict[str, Any], tried: dict[str, Any], run: Asks
) -> None:
    mixed, alone = Scene(), Scene()
    strict, tried = {**strict, "name": "strict"}, {**tried, "name": "tried"}
    both = mixed.limits({**tried, "mode": "shadow"}, strict)
    first, then = Scene().limits(strict), alone.limits(tried)
    now, answers = NOW, []
    for pause, who in run:
        now += pause
        request = exchange(x_id=who)
        answers.append((both.admit(request, now), first.admit(request, now)))
        if answers[-1][1] is None:
            then.admit(request, now)
    assert [one and one.headers for one, _ in answers] == [
        two and two.headers for _, two in answers
    ]
    would = {name[-1]: n for name, n in mixed.samples().items() if name[0] == SHADED}
    assert would == {name[-1]: n for name, n in alone.samples().items()}


def test_shadow_says_nothing_to_the_caller() -> None:
    limits = Scene().limits({"limit": "1/h", "mode": "shadow"})
    request: Exchange = exchange()
    assert [limits.admit(request, NOW) for _ in range(3)] == [None] * 3
    assert (request.flags, request.answer_lines) == ("", [])


def test_shadow_is_counted_by_route_and_limit_and_apart_from_refusals() -> None:
    scene = Scene()
    limits = scene.limits({"name": "tried", "limit": "2/h", "mode": "shadow"})
    assert admitted(limits, 5, route="GET /x") == 5
    labels = (SHADED, "rate_limit", "inbound", "GET /x", "tried")
    assert scene.samples() == {labels: 3.0}
    (report,) = scene.reports("rate-limits", NOW)
    assert (report["mode"], report["refused"]) == ("shadow", 3)


def test_off_is_no_limit_and_reads_nothing() -> None:
    scene = Scene()
    entry = {"limit": "1/h", "per": ["header:x-a"]}
    limits = scene.limits({**entry, "mode": "off"}, {"limit": "3/h", "per": ["header:x-b"]})
    assert admitted(limits, 5) == 3
    assert limits.reads == {b"x-b"}


def test_only_limits_that_are_off_are_no_policy() -> None:
    with pytest.raises(AssertionError):
        Scene().limits({"limit": "1/h", "mode": "off"})


def test_one_that_goes_off_leaves_the_others_their_names_and_levels() -> None:
    scene = Scene()
    first, second = {"limit": "9/h"}, {"limit": "2/h"}
    assert admitted(scene.limits(first, second), 5) == 2
    scene.reload()
    assert admitted(scene.limits({**first, "mode": "off"}, second), 5) == 0


def test_a_limit_that_comes_into_force_goes_on_from_its_level_in_shadow() -> None:
    scene = Scene()
    entry = {"limit": "4/h"}
    assert admitted(scene.limits({**entry, "mode": "shadow"}), 3) == 3
    scene.reload()
    assert admitted(scene.limits({**entry, "mode": "enforce"}), 5) == 1
