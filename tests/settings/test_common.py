"""What routes have in common is built once, and what they have not is not."""

from __future__ import annotations

from typing import Any

import pytest

from meshproxy.core.ledger import Ledger
from meshproxy.core.route import Part, Route
from meshproxy.policies.circuit_breaker import CircuitBreaker
from meshproxy.settings.common import Common
from tests.settings.build import build

FILE = """
inbound:
  app: 127.0.0.1:8080
  rate_limits: [{limit: 10/s}]
  concurrency: {max: 9}
  retry: {attempts: 2}
  circuit_breaker: {consecutive_failures: 7}
  failures: [5xx]
  routes:
    - match: /a
    - match: /b
    - {match: /c, retry: {attempts: 3}, rate_limits: [{limit: 1/s}]}
    - {match: /d, failures: [503]}
    - {match: /e, circuit_breaker: off}
"""


def routes(text: str = FILE) -> dict[str, Route]:
    (plan,) = build(text, Ledger()).plans.values()
    return {route.name: route for route in plan.routes}


def policies(route: Route) -> dict[str, Any]:
    return {part.key: part.policy for part in route.parts}


def test_routes_that_say_nothing_have_all_in_common() -> None:
    a, b = routes()["/a"], routes()["/b"]
    assert policies(a) != policies(b), "of another generation"
    found = routes()
    a, b = found["/a"], found["/b"]
    assert a.phases is b.phases
    assert a.parts is b.parts
    assert a.classifier is b.classifier
    assert a.series is not b.series
    assert a.per_try_timeout is b.per_try_timeout
    assert a.timeout is b.timeout


def test_what_a_route_says_itself_is_its_own() -> None:
    found = routes()
    inherits, says = policies(found["/a"]), policies(found["/c"])
    own = {key for key, each in says.items() if each is not inherits[key]}
    assert own == {"retry", "rate_limits"}
    assert found["/c"].phases is not found["/a"].phases
    assert says["retry"].tries(None).further == 3
    assert inherits["retry"].tries(None).further == 2


def test_what_counts_as_a_failure_is_not_taken_from_another_route() -> None:
    found = routes()
    inherits, says = policies(found["/a"]), policies(found["/d"])
    assert isinstance(says["circuit_breaker"], CircuitBreaker)
    assert says["circuit_breaker"] is not inherits["circuit_breaker"]
    assert says["concurrency"] is not None
    assert found["/d"].classifier is not found["/a"].classifier


def test_a_route_that_switches_one_off_has_the_rest_in_common() -> None:
    found = routes()
    without = policies(found["/e"])
    assert "circuit_breaker" not in without
    assert all(each is policies(found["/a"])[key] for key, each in without.items())


def test_another_service_has_its_own() -> None:
    text = """
outbound:
  defaults:
    retry: {attempts: 2}
    circuit_breaker: {consecutive_failures: 7}
    concurrency: {max: 9}
  services:
    a: {endpoints: ['10.0.0.1:80'], hosts: [a]}
    b: {endpoints: ['10.0.0.2:80'], hosts: [b]}
"""
    (plan,) = build(text, Ledger()).plans.values()
    one, other = (route for route in plan.routes if route.cluster and route.cluster.endpoints)
    mine, theirs = policies(one), policies(other)
    assert all(mine[key] is not theirs[key] for key in ("retry", "circuit_breaker", "concurrency"))


@pytest.mark.parametrize("key", ["fallback", "hedge"])
def test_one_that_knows_its_route_is_built_for_each(key: str) -> None:
    written = {"fallback": "{static: {status: 200, body: x}}", "hedge": "{after: 50ms}"}[key]
    text = f"""
outbound:
  services:
    a:
      endpoints: ['10.0.0.1:80', '10.0.0.2:80']
      {key}: {written}
      routes: [{{match: /a}}, {{match: /b}}]
"""
    (plan,) = build(text, Ledger()).plans.values()
    one, other = (route for route in plan.routes if route.name in ("a /a", "a /b", "/a", "/b"))
    assert policies(one)[key] is not policies(other)[key]
    assert policies(one)["load_balancer"] is policies(other)["load_balancer"]


def test_of_two_under_one_name_the_values_tell() -> None:
    common, made = Common(), []

    def make() -> object:
        made.append(object())
        return made[-1]

    first = common.policy("here", [1], make)
    assert common.policy("here", [1], make) is first
    assert common.policy("here", [2], make) is not first
    assert common.policy("there", [2], make) is made[-1]
    assert len(made) == 3


def test_none_is_remembered_too() -> None:
    common, asked = Common(), []
    for _ in range(2):
        assert common.policy("off", [0], lambda: asked.append(1)) is None
    assert asked == [1]


def test_the_same_policies_in_another_order_are_another_walk() -> None:
    class Admits:
        def admit(self, exchange: object, now: float) -> None:
            """Let it through."""

    one, other = Part("a", Admits()), Part("b", Admits())
    common = Common()
    walk = common.walk([one, other])
    assert common.walk([one, other]) is walk
    assert common.walk([other, one]).phases.admit == walk.phases.admit[::-1]
    assert walk.pick is None
