"""The same key comes to the same endpoint, and no endpoint gets much more than its share."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.core.exchange import Exchange
from meshproxy.core.route import Allowed, Endpoint
from meshproxy.policies import ring_hash
from meshproxy.policies.load_balancer import LoadBalancerSpec

from .attempts import exchange_of, scope_of


def scene(
    *names: str, bound: str = "off", key: str = "header:x-user"
) -> tuple[Any, list[Endpoint]]:
    scope = scope_of(*names)
    spec = LoadBalancerSpec.model_validate({"strategy": "ring_hash", "hash": key, "bound": bound})
    return spec.build(scope), list(scope.cluster.endpoints)


def anyone(endpoint: Endpoint, now: float) -> bool:
    return True


def of(user: object) -> Exchange:
    return exchange_of(x_user=str(user))


def homes(balancer: Any, allowed: Allowed = anyone) -> list[str]:
    return [balancer.pick(of(user), allowed, 100.0).name for user in range(2000)]


def test_a_key_has_one_home_whichever_route_or_process_asks() -> None:
    one, _ = scene("a", "b", "c", "d")
    other, _ = scene("d", "c", "b", "a")
    assert homes(one) == homes(one) == homes(other)
    assert min(Counter(homes(one)).values()) > 300


def test_only_the_keys_of_one_that_is_barred_move() -> None:
    balancer, _ = scene("a", "b", "c", "d")
    before = homes(balancer)
    after = homes(balancer, lambda endpoint, now: endpoint.name != "b")
    moved = Counter(now for was, now in zip(before, after, strict=True) if was != now)
    assert moved.total() == before.count("b")
    assert set(moved) == {"a", "c", "d"}


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ("header:X-User", {"x-user": "7"}),
        ("cookie:id", {"cookie": "a=1; id=7"}),
    ],
)
def test_what_is_hashed_may_stand_in_a_field_or_a_cookie(key: str, fields: dict[str, str]) -> None:
    balancer, _ = scene(*map(str, range(10)), key=key)
    assert set(balancer.reads) == {next(iter(fields)).encode()}
    asked, empty = (
        exchange_of(**{name.replace("-", "_"): value for name, value in fields.items()}),
        exchange_of(),
    )
    assert len({balancer.pick(asked, anyone, 100.0) for _ in range(50)}) == 1
    assert len({balancer.pick(empty, anyone, 100.0) for _ in range(50)}) > 5, "by chance"


def test_the_client_s_address_may_be_hashed() -> None:
    assert ring_hash.read("ip", 0)(exchange_of()) == b"127.0.0.1"
    assert ring_hash.fields("ip", 0) == set()
    assert set(ring_hash.fields("ip", 1)) == {b"x-forwarded-for"}


weights = st.lists(st.integers(1, 5), min_size=2, max_size=15)


@given(
    weights, st.lists(st.integers(0, 9), max_size=200), st.sampled_from(["100%", "125%", "200%"])
)
def test_nobody_gets_more_than_the_bound_of_its_share(
    given: list[int], users: list[int], bound: str
) -> None:
    """Mirrokni et al.: at most ceil(c * requests * weight / weights), whatever the keys are."""
    balancer, ends = scene(*map(str, range(len(given))), bound=bound)
    for end, weight in zip(ends, given, strict=True):
        end.weight = weight
    for total, user in enumerate(users, 1):
        balancer.pick(of(user), anyone, 100.0).load += 1
        for end in ends:
            most = float(bound[:-1]) / 100 * total * end.weight / sum(given)
            assert end.load <= math.ceil(most + 1e-9) or end.load <= 1


def test_a_key_that_everyone_asks_for_is_spread_over_the_next_ones_in_order() -> None:
    balancer, ends = scene(*"abcde", bound="125%")
    order = []
    for _ in range(100):
        endpoint = balancer.pick(of("hot"), anyone, 100.0)
        endpoint.load += 1
        order.append(endpoint.name)
    assert max(end.load for end in ends) == 25
    assert min(end.load for end in ends) == 0, "the last one on the way is not needed"
    for end in ends:
        end.load = 0
    assert balancer.pick(of("hot"), anyone, 100.0).name == order[0], "home again when it is calm"


def test_without_a_bound_it_all_stays_at_home() -> None:
    balancer, ends = scene(*"abcde", bound="off")
    for _ in range(100):
        balancer.pick(of("hot"), anyone, 100.0).load += 1
    assert max(end.load for end in ends) == 100


def test_those_that_are_left_keep_the_bound_among_themselves() -> None:
    balancer, ends = scene(*map(str, range(10)), bound="125%")
    left = ends[:2]
    for _ in range(100):
        balancer.pick(of("hot"), lambda each, now: each in left, 100.0).load += 1
    assert max(end.load for end in left) <= 63


def test_untried_ones_first_even_over_the_bound() -> None:
    balancer, ends = scene("a", "b", bound="125%")
    home = balancer.pick(of("me"), anyone, 100.0)
    other = next(end for end in ends if end is not home)
    other.load = 50
    exchange = of("me")
    exchange.tried = (home,)
    assert balancer.pick(exchange, anyone, 100.0) is other
    assert balancer.pick(exchange, lambda each, now: each is home, 100.0) is home
    assert balancer.pick(exchange, lambda each, now: False, 100.0) is None


def test_among_a_thousand_a_pick_looks_at_few_and_the_bound_holds_nearly() -> None:
    balancer, ends = scene(*map(str, range(1000)), bound="125%")
    asked: list[Endpoint] = []

    def allowed(endpoint: Endpoint, now: float) -> bool:
        asked.append(endpoint)
        return True

    for user in range(20_000):
        balancer.pick(of(user % 5000), allowed, 100.0).load += 1
    assert max(end.load for end in ends) <= math.ceil(1.25 * (20_000 + 62) / 1000)
    assert len(asked) < 2 * 20_000


def test_requests_that_ended_make_no_room_at_a_busy_home() -> None:
    """They are counted again every few picks, not only added to."""
    balancer, ends = scene(*map(str, range(100)), bound="125%")
    for user in range(1000):
        balancer.pick(of(user), anyone, 100.0)  # and it is over at once
    for _ in range(100):
        balancer.pick(of("hot"), anyone, 100.0).load += 1
    assert max(end.load for end in ends) <= 3


def test_weights_of_a_reload_are_those_of_the_ring() -> None:
    """They are given to the endpoints after the balancer is built, and before it is asked."""
    scope = scope_of("a", "b")
    built = LoadBalancerSpec.model_validate({"strategy": "ring_hash", "hash": "header:x-user"})
    balancer: Any = built.build(replace(scope))
    scope.cluster.endpoints[1].weight = 9
    counts = Counter(homes(balancer))
    assert counts["b"] > 5 * counts["a"]


def test_who_is_told_is_who_is_then_picked_and_telling_counts_for_nothing() -> None:
    """With more than 16 endpoints, whose requests are not counted anew for each pick."""
    balancer, _ = scene(*(f"e{number}" for number in range(40)), bound="110%")
    for user in range(200):
        told = [balancer.choose(of(user), anyone, 100.0) for _ in range(3)]
        endpoint = balancer.pick(of(user), anyone, 100.0)
        assert [each.candidates for each in told] == [((endpoint, 1.0),)] * 3
        endpoint.load += 1
    assert balancer.choose(of(1), lambda end, now: False, 100.0) is None


def test_without_a_key_anyone_may_be_picked() -> None:
    balancer, ends = scene("a", "b", "c")
    choice = balancer.choose(exchange_of(), lambda end, now: end is not ends[0], 100.0)
    assert choice.candidates == ((ends[1], None), (ends[2], None))
