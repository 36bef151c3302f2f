"""Every value of a file is traced to the line that says it, or is called a default."""

from __future__ import annotations

import pytest

from meshproxy.settings.errors import Path
from meshproxy.settings.origins import origin, rule, values
from meshproxy.settings.validate import Settings, validate

FILE = """\
version: 1
inbound:
  app: http://127.0.0.1:8080
  timeout: 3s
  rate_limits: [{limit: 5/s}]
  routes:
    - match: {path: /x, headers: {x-key: "${API_KEY}"}}
outbound:
  defaults:
    timeout: 5s
    retry: {attempts: 2}
  services:
    pay:
      endpoints: [10.0.0.1:80]
      retry: {per_try_timeout: 1s}
      routes:
        - {match: /quotes, timeout: 1s}
    pay.old: {endpoints: [10.0.0.2:80]}
"""


@pytest.fixture(scope="module")
def settings() -> Settings:
    return validate(FILE.encode(), "dir/f.yaml", {"API_KEY": "canary"})


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("inbound", "timeout"), "inbound.timeout (f.yaml:4)"),
        (("inbound", "routes", 0, "timeout"), "inbound.timeout (f.yaml:4)"),
        (("inbound", "connect_timeout"), "inbound.connect_timeout (default)"),
        (("outbound", "services", "pay", "timeout"), "outbound.defaults.timeout (f.yaml:10)"),
        (
            ("outbound", "services", "pay", "routes", 0, "retry", "attempts"),
            "outbound.defaults.retry.attempts (f.yaml:11)",
        ),
        (
            ("outbound", "services", "pay", "routes", 0, "retry", "per_try_timeout"),
            "outbound.services.pay.retry.per_try_timeout (f.yaml:15)",
        ),
    ],
)
def test_a_value_comes_from_where_it_is_said(settings: Settings, path: Path, place: str) -> None:
    assert origin(settings, path) == place


def test_a_rule_is_placed_by_what_is_around_it(settings: Settings) -> None:
    assert rule(settings, ("inbound", "retry")) == "inbound.retry (f.yaml:3)"


@pytest.mark.parametrize(
    ("dotted", "value", "place"),
    [
        ("outbound.services.pay.timeout", "5s", "outbound.defaults.timeout (f.yaml:10)"),
        (
            "outbound.services.pay.routes[0].timeout", "1s",
            "outbound.services.pay.routes[0].timeout (f.yaml:17)",
        ),
        (
            "outbound.services.pay.old.timeout", "5s", "outbound.defaults.timeout (f.yaml:10)",
        ),
        ("inbound.rate_limits[0].limit", "5/s", "inbound.rate_limits[0].limit (f.yaml:5)"),
    ],
)  # fmt: skip
def test_one_value(settings: Settings, dotted: str, value: str, place: str) -> None:
    assert [each[1:] for each in values(settings, dotted)] == [(value, place)]


def test_all_values_below_a_place(settings: Settings) -> None:
    found = {path: (value, place) for path, value, place in values(settings, "outbound")}
    assert found["outbound.services.pay.retry.attempts"][0] == 2
    assert found["outbound.services.pay.circuit_breaker.window"][1].endswith("(default)")
    assert found["outbound.services.pay.endpoints[0].address"][0] == "10.0.0.1:80"


def test_a_secret_is_not_told(settings: Settings) -> None:
    assert "canary" not in str(list(values(settings, "inbound")))


@pytest.mark.parametrize(
    ("dotted", "said"),
    [
        ("outbound.services.pay.timeot", "did you mean 'timeout'?"),
        ("inbound.routes[7]", "nothing is called"),
        ("inbound.timeout.seconds", "nothing is below it"),
        ("outbound.services.pax", "did you mean 'pay'?"),
    ],
)
def test_what_there_is_not_is_told_so(settings: Settings, dotted: str, said: str) -> None:
    with pytest.raises(ValueError, match="nothing is called") as raised:
        list(values(settings, dotted))
    assert said in str(raised.value)
