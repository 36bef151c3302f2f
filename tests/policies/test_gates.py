"""A gate spends from the level that is meant: everyone's, the key's, or the tier's."""

from __future__ import annotations

from typing import Any

from meshproxy.core.fields import RateOf
from meshproxy.logic.bucket import Rate
from meshproxy.logic.keyed import Keyed, Overflow, Table
from meshproxy.policies import keys
from meshproxy.policies.gates import Each, Tiered, Whole

from .limits_scene import exchange

BASE, PREMIUM = RateOf(1.0, 60.0), RateOf(6.0, 60.0)
PER = ("header:x-client-id",)


def whole(rate: RateOf) -> Whole:
    measure = Rate(rate.per_second, rate.count)
    return Whole(rate, measure, measure.fresh(0.0))


def each(rate: RateOf, capacity: int = 10) -> Each:
    measure = Rate(rate.per_second, rate.count)
    table: Table[Any] = Table()
    keyed = Keyed(measure, table, capacity, Overflow(measure, measure.fresh(0.0)))
    return Each(rate, (PER, keys.read(PER, 0)), table, keyed)


def tiered() -> Tiered:
    return Tiered(b"x-tier", {b"premium": whole(PREMIUM)}, whole(BASE))


def admitted(gate: Whole | Each | Tiered, asks: int, **headers: str) -> int:
    return sum(gate.take(exchange(**headers), 0.0) == 0.0 for _ in range(asks))


def test_a_whole_gate_does_not_care_who_asks() -> None:
    gate = whole(PREMIUM)
    assert sum(admitted(gate, 1, x_client_id=str(n)) for n in range(10)) == 6
    assert gate.report(0.0) == {"left": 0}


def test_a_gate_per_key_counts_each_apart() -> None:
    gate = each(PREMIUM)
    assert [admitted(gate, 9, x_client_id=name) for name in "abc"] == [6, 6, 6]


def test_what_is_given_back_goes_to_the_same_caller() -> None:
    gate = each(BASE)
    assert admitted(gate, 1, x_client_id="a") == admitted(gate, 1, x_client_id="b") == 1
    gate.give_back(exchange(x_client_id="a"))
    assert (admitted(gate, 1, x_client_id="b"), admitted(gate, 1, x_client_id="a")) == (0, 1)


def test_a_tier_is_named_by_the_header() -> None:
    gate = tiered()
    assert admitted(gate, 9, x_tier="premium") == 6
    assert admitted(gate, 9, x_tier="gold") == 1
    assert admitted(gate, 9) == 0
    assert gate.chosen(exchange(x_tier="premium")).rate is PREMIUM
    assert gate.chosen(exchange(x_tier="Premium")).rate is BASE


def test_a_tier_gets_back_what_it_spent() -> None:
    gate = tiered()
    assert admitted(gate, 9, x_tier="premium") == 6
    gate.give_back(exchange(x_tier="premium"))
    assert gate.report(0.0) == {"left": 1, "tiers": {"premium": {"left": 1}}}


def test_a_report_counts_keys_and_shows_the_nearest_without_credentials() -> None:
    gate = each(PREMIUM, capacity=2)
    for name, asks in (("alice", 2), ("bob", 4), ("carol", 1)):
        admitted(gate, asks, x_client_id=name)
    report = gate.report(0.0)
    assert (report["keys_in_use"], report["overflowed"]) == (2, 1)
    assert [near["left"] for near in report["nearest"]] == [2, 4]
    assert "bob" not in str(report)
