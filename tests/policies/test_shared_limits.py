"""Limits and places of several workers: together they let in what one alone would."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from meshproxy.core.sharing import Sharing
from meshproxy.core.verdict import Hold, Refusal
from meshproxy.policies.concurrency import ConcurrencySpec
from meshproxy.policies.rate_limit import RateLimitSpec
from tests.policies.limits_scene import Scene

from .attempts import exchange_of, scope_of
from .several import Several


def limits(raw: dict[str, Any]) -> Any:
    def make(sharing: Sharing) -> Any:
        scope = replace(Scene().scope(), sharing=sharing, now=0.0)
        return RateLimitSpec.build_all([(RateLimitSpec.model_validate(raw), scope)])

    return make


def asking(value: str = "a") -> Any:
    exchange = exchange_of()
    exchange.taken[b"x-client"] = value.encode()
    exchange.route = type("Route", (), {"name": "default"})()
    return exchange


RAW = [
    {"limit": "100/s", "burst": 20},
    {"limit": "100/s", "burst": 20, "per": ["header:x-client"]},
    {"limit": "50/s", "algorithm": "sliding_window"},
    {"limit": "50/s", "algorithm": "sliding_window", "per": ["header:x-client"]},
]


@pytest.mark.parametrize("raw", RAW, ids=lambda raw: "-".join(map(str, raw.values())))
@pytest.mark.parametrize("shares", [(1, 1), (9, 1), (1, 0)], ids=str)
@pytest.mark.parametrize("load", [1.0, 2.0, 10.0])
def test_f45_two_workers_admit_within_five_percent_of_one(
    raw: dict[str, Any], shares: tuple[int, int], load: float
) -> None:
    rate = 100.0 if raw["limit"] == "100/s" else 50.0
    several, draw = Several(), random.Random(7)
    policies = several.build(limits(raw))
    alone = Several(1).build(limits(raw))[0]
    admitted = expected = 0
    seconds, count = 20.0, int(20.0 * rate * load)
    for number in range(count):
        now = 10.0 + number * seconds / count
        if number % 50 == 0:
            several.turn(now)
        policy = draw.choices(policies, shares)[0]
        admitted += policy.admit(asking(), now) is None
        expected += alone.admit(asking(), now) is None
    assert admitted == pytest.approx(expected, rel=0.02)


def test_one_client_s_use_in_one_worker_is_not_another_client_s() -> None:
    several = Several()
    one, other = several.build(limits(RAW[1]))
    for _ in range(20):
        assert one.admit(asking(), 5.0) is None
    assert isinstance(other.admit(asking(), 5.0), Refusal)
    assert other.admit(asking("b"), 5.0) is None


def test_one_that_was_idle_for_long_neither_owes_nor_gains() -> None:
    """Hours of the other's traffic at the full rate are not a debt of hours."""
    several = Several()
    one, other = several.build(limits(RAW[0]))
    for number in range(20_000):
        one.admit(asking(), 10.0 + number * 0.01)
        if number % 3 == 0:
            several.turn(10.0 + number * 0.01)
    now = 10.0 + 20_000 * 0.01
    assert sum(other.admit(asking(), now) is None for _ in range(50)) in range(18, 22)


def test_a_new_worker_knows_what_is_used_up() -> None:
    several = Several()
    one, _ = several.build(limits(RAW[0]))
    for _ in range(20):
        assert one.admit(asking(), 5.0) is None
    fresh = several.replace(0, limits(RAW[0]))
    assert isinstance(fresh.admit(asking(), 5.0), Refusal), "its own predecessor spent it"


def test_what_is_given_back_is_there_for_all() -> None:
    wide, no = {"name": "wide", "limit": "10/s", "burst": 2}, {"name": "no", "limit": "1/h"}

    def make(sharing: Sharing) -> Any:
        scope = replace(Scene().scope(), sharing=sharing, now=0.0)
        specs = [RateLimitSpec.model_validate(raw) for raw in (wide, no)]
        return RateLimitSpec.build_all([(spec, scope) for spec in specs])

    one, other = Several().build(make)
    assert one.admit(asking(), 5.0) is None
    for _ in range(10):
        refused = other.admit(asking(), 5.0)
        assert isinstance(refused, Refusal)
        assert '"no"' in refused.detail, "the wide one has one left, again and again"


def places(raw: dict[str, Any]) -> Any:
    def make(sharing: Sharing) -> Any:
        scope = replace(scope_of("a"), sharing=sharing)
        return ConcurrencySpec.model_validate(raw).build(scope)

    return make


def leave(exchange: Any, now: float = 1.0) -> None:
    for release in exchange.deferred:
        release(now)
    exchange.concluded = True


def test_places_are_those_of_all_workers() -> None:
    one, other = Several().build(places({"max": 3, "queue": 0}))
    first = [asking() for _ in range(2)]
    assert [one.admit(exchange, 1.0) for exchange in first] == [None, None]
    last = asking()
    assert other.admit(last, 1.0) is None
    refused = [policy.admit(asking(), 1.0) for policy in (one, other)]
    assert all(
        isinstance(verdict, Refusal) and "all 3 places" in verdict.detail for verdict in refused
    )
    leave(first[0])
    assert other.admit(asking(), 1.1) is None


def test_who_waits_here_gets_the_place_that_comes_free_there() -> None:
    several = Several()
    one, other = several.build(places({"max": 1, "queue": 5}))
    there, here = asking(), asking()
    assert one.admit(there, 1.0) is None
    assert isinstance(other.admit(here, 1.0), Hold)
    seated: list[Any] = []

    def wake(now: float) -> None:
        here.wake = None
        seated.append(other.admit(here, now))

    here.wake = wake
    several.turn(1.1)
    assert seated == []
    leave(there)
    several.turn(1.2)
    assert seated == [None]


def test_the_places_of_a_worker_that_was_killed_are_free() -> None:
    several = Several()
    one, other = several.build(places({"max": 1, "queue": 0}))
    assert one.admit(asking(), 1.0) is None
    assert isinstance(other.admit(asking(), 1.0), Refusal)
    several.replace(0, places({"max": 1, "queue": 0}))
    assert other.admit(asking(), 1.1) is None


def test_what_is_learned_is_for_all_together() -> None:
    one, other = Several().build(places({"max": "adaptive", "min": 10, "queue": 0}))
    taken = [asking() for _ in range(10)]
    assert [one.admit(exchange, 1.0) for exchange in taken] == [None] * 10
    assert other._learner.most() == one._learner.most()
    others = [other.admit(asking(), 1.0) for _ in range(one._learner.most())]
    assert sum(verdict is None for verdict in others) == one._learner.most() - 10
