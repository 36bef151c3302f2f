"""How the file says which endpoint gets a request, and what is built of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from meshproxy.core.route import Cluster
from meshproxy.policies.balancers import Lone, PeakEwma
from meshproxy.policies.contract import Scope, fields_read, gather
from meshproxy.policies.load_balancer import STRATEGIES, LoadBalancerSpec
from meshproxy.policies.ring_hash import RingHash
from meshproxy.policies.slow_start import SlowStart
from meshproxy.policies.tiers import Tiers

from .attempts import exchange_of, scope_of

BY_USER = {"strategy": "ring_hash", "hash": "header:x-user"}


def read(value: Any) -> LoadBalancerSpec:
    return LoadBalancerSpec.model_validate(value)


def tiered(scope: Scope, *sizes: int) -> Scope:
    """The same cluster, its endpoints dealt out to tiers."""
    left = list(scope.cluster.endpoints)
    tiers = tuple(tuple(left.pop(0) for _ in range(size)) for size in sizes)
    cluster = Cluster("payments", scope.cluster.endpoints, scope.cluster.series, tiers)
    return replace(scope, cluster=cluster)


def test_the_file_writes_one_word() -> None:
    for word in STRATEGIES:
        spec = LoadBalancerSpec.model_validate(word)
        assert spec.strategy == word
        assert spec.model_dump(mode="json") == word
    assert LoadBalancerSpec().strategy == "peak_ewma"
    assert LoadBalancerSpec.model_json_schema()["anyOf"][0] == {"enum": list(STRATEGIES)}


@pytest.mark.parametrize("word", ["maglev", "Random", "", None, 3, ["random"], True])
def test_any_other_word_is_refused_with_those_there_are(word: object) -> None:
    known = "write one of peak_ewma, least_request, round_robin, random"
    with pytest.raises(ValidationError, match=known):
        LoadBalancerSpec.model_validate(word)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ({"strategy": "random"}, "random"),
        ({"slow_start": "30s"}, {"strategy": "peak_ewma", "slow_start": "30s"}),
        ({"slow_start": "off"}, "peak_ewma"),
        (BY_USER, {**BY_USER, "bound": "125%"}),
        ({**BY_USER, "bound": "150%"}, {**BY_USER, "bound": "150%"}),
        ({**BY_USER, "bound": "off"}, {**BY_USER, "bound": "off"}),
        ({**BY_USER, "bound": False}, {**BY_USER, "bound": "off"}),
    ],
)
def test_a_mapping_is_shown_as_it_would_be_written(written: Any, shown: Any) -> None:
    spec = read(written)
    assert spec.model_dump(mode="json") == shown
    assert read(shown) == spec


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("ring_hash", "say what to hash: {strategy: ring_hash, hash: header:x-user}"),
        ({"strategy": "ring_hash"}, "say what to hash, as in hash: header:x-user"),
        ({"hash": "ip"}, "go with ring_hash: without them, write just peak_ewma"),
        ({"strategy": "random", "bound": "125%"}, "without them, write just random"),
        ({**BY_USER, "slow_start": "30s"}, "slow_start does not go with ring_hash"),
        ({**BY_USER, "bound": "99%"}, "write 100% to 1000%, as in 125%, or off"),
        ({**BY_USER, "bound": 1.25}, "write 100% to 1000%, as in 125%, or off"),
        ({**BY_USER, "hash": "header:"}, "pattern"),
        ({**BY_USER, "hash": "cookie:a b"}, "pattern"),
        ({**BY_USER, "hash": "path"}, "pattern"),
    ],
)
def test_what_does_not_fit_together_is_refused(written: Any, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        read(written)


def test_nothing_stands_around_a_strategy_where_nothing_was_asked_for() -> None:
    assert type(LoadBalancerSpec().build(scope_of("a", "b"))) is PeakEwma
    assert type(read({"slow_start": "9s"}).build(scope_of("a"))) is Lone
    assert type(read(BY_USER).build(scope_of("a", "b"))) is RingHash


def test_slow_start_stands_around_the_tiers() -> None:
    scope = tiered(scope_of("a", "b", "c"), 2, 1)
    assert type(LoadBalancerSpec().build(scope)) is Tiers
    assert type(read({"slow_start": "9s"}).build(scope)) is SlowStart


@pytest.mark.parametrize("written", [{"slow_start": "9s"}, "peak_ewma"])
def test_what_a_strategy_learns_is_learned_inside_tiers_too(written: Any) -> None:
    scope = tiered(scope_of("a", "b", "c"), 1, 2)
    balancer = read(written).build(scope)
    exchange = exchange_of()
    exchange.endpoint, exchange.sent_at, exchange.status = scope.cluster.endpoints[2], 100.0, 200
    for settle in gather([balancer]).settle:
        settle(exchange, 100.25)
    assert scope.cluster.endpoints[2].cost == 0.25


def test_a_strategy_that_learns_nothing_has_no_settle_phase() -> None:
    scope = tiered(scope_of("a", "b", "c", "d"), 2, 2)
    for written in ({"strategy": "random", "slow_start": "9s"}, BY_USER):
        assert gather([read(written).build(scope)]).settle == ()


def test_the_fields_that_are_hashed_are_asked_for_inside_tiers_too() -> None:
    for scope in (scope_of("a", "b"), tiered(scope_of("a", "b", "c"), 1, 2)):
        reads, _ = fields_read([read(BY_USER).build(scope)])
        assert set(reads) == {b"x-user"}
