"""Who owns a policy: the innermost place that says something of it."""

from __future__ import annotations

from meshproxy.policies.concurrency import ConcurrencySpec
from meshproxy.policies.rate_limit import RateLimitSpec
from meshproxy.settings.chains import Chain, Step
from meshproxy.settings.validate import Settings, validate

FILE = """
outbound:
  defaults: {concurrency: {max: 10}, rate_limits: [{limit: 1/s}]}
  services:
    a:
      endpoints: ['10.0.0.1:80']
      retry: {attempts: 2}
      rate_limits: [{limit: 2/s}, {limit: 3/s}]
      routes:
        - {match: /x, concurrency: {max: 5}, rate_limits: [{limit: 4/s}]}
        - {match: /y, rate_limits: off}
"""


def chain(settings: Settings, route: int) -> Chain:
    outbound = settings.file.outbound
    assert outbound is not None
    service = outbound.services["a"]
    steps = (
        Step(("outbound", "defaults"), "outbound.defaults.a", outbound.defaults),
        Step(("outbound", "services", "a"), "outbound.services.a", service),
    )
    return Chain("outbound", steps).inner(route, service.routes[route])


def owner(route: int, key: str) -> str:
    settings = validate(FILE.encode(), "f.yaml", {})
    step, _ = chain(settings, route).speaker(key, settings)
    return step.owner


def test_the_innermost_place_that_speaks_owns() -> None:
    assert owner(0, "concurrency") == "outbound.services.a.routes./x"
    assert owner(1, "concurrency") == "outbound.defaults.a"
    assert owner(1, "retry") == "outbound.services.a"


def test_what_nobody_mentions_belongs_to_the_service() -> None:
    assert owner(0, ConcurrencySpec.key) != owner(0, "circuit_breaker") == "outbound.services.a"


def test_lists_add_up_from_the_outside_in_until_one_is_off() -> None:
    settings = validate(FILE.encode(), "f.yaml", {})
    found = [
        (step.owner, path[-1], item.limit.count)
        for step, path, item in chain(settings, 0).items(RateLimitSpec)
    ]
    assert found == [
        ("outbound.defaults.a", 0, 1.0),
        ("outbound.services.a", 0, 2.0),
        ("outbound.services.a", 1, 3.0),
        ("outbound.services.a.routes./x", 0, 4.0),
    ]
    assert list(chain(settings, 1).items(RateLimitSpec)) == []
