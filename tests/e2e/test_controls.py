"""An operator takes a breaker or a limit by the hand; the next good reload lets go of both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .harness import Message, Origin, Sidecar, answering, fetch, reply

CONFIG = """
inbound:
  listen: <inbound>
  app: http://<app>
  rate_limits: [{name: few, limit: 2/h}]
outbound:
  listen: <outbound>
  defaults: {retry: off, circuit_breaker: {consecutive_failures: 3}}
  services:
    payments: {endpoints: [<app>, <other>], load_balancer: round_robin}
    users: {endpoints: [<app>]}
"""


@pytest.fixture(scope="module")
def other() -> Iterator[Origin]:
    with Origin.running() as running:
        yield running


@pytest.fixture(scope="module")
def sidecar(app: Origin, other: Origin) -> Iterator[Sidecar]:
    with Sidecar.running(CONFIG, app=app.address, other=other.address) as running:
        yield running


@pytest.fixture(autouse=True)
def clean(sidecar: Sidecar, origin: Origin) -> Iterator[None]:
    yield
    sidecar.write(CONFIG)
    assert sidecar.reload().status == 200


def order(sidecar: Sidecar, path: str) -> Message:
    return fetch(sidecar.admin, path, "POST", {"Host": "localhost"})


def call(sidecar: Sidecar, service: str) -> Message:
    return fetch(sidecar.outbound, "/", headers={"Host": service})


def endpoint(sidecar: Sidecar, service: str) -> dict[str, Any]:
    clusters: Any = sidecar.admin_json("/clusters")
    found: dict[str, Any] = next(one for one in clusters if one["name"] == service)["endpoints"][0]
    return found


def test_a_breaker_held_open_keeps_traffic_away(sidecar: Sidecar, app: Origin) -> None:
    path = f"/breakers?upstream=users&endpoint={app.address}&force="
    assert order(sidecar, f"{path}open").status == 200
    refusal = call(sidecar, "users")
    assert (refusal.status, refusal.get("x-meshproxy-reason")) == (503, "UO")
    assert b"forced by an operator" in refusal.body
    assert refusal.get("retry-after") is None
    assert sidecar.samples("meshproxy_breaker_state", upstream="users") == [1.0]
    assert sidecar.samples("meshproxy_overrides", section="breakers") == [1.0]
    assert (endpoint(sidecar, "users")["circuit"], endpoint(sidecar, "users")["forced"]) == (
        "open", "open",
    )  # fmt: skip
    assert order(sidecar, f"{path}auto").status == 200
    assert [call(sidecar, "users").status for _ in range(3)] == [200] * 3
    assert endpoint(sidecar, "users")["circuit"] == "closed"
    told = [line for line in sidecar.log_lines() if line["event"] == "breaker_forced"]
    assert [(line["before"], line["force"]) for line in told] == [
        ("auto", "open"),
        ("open", "auto"),
    ]


def test_the_others_take_over(sidecar: Sidecar, app: Origin, other: Origin) -> None:
    other.forget()
    order(sidecar, f"/breakers?upstream=payments&endpoint={app.address}&force=open")
    assert [call(sidecar, "payments").status for _ in range(6)] == [200] * 6
    assert (len(app.requests), len(other.requests)) == (0, 6)


def test_a_breaker_held_closed_lets_failures_through(sidecar: Sidecar, app: Origin) -> None:
    order(sidecar, f"/breakers?upstream=users&endpoint={app.address}&force=closed")
    app.forget(answering(reply(500)))
    assert [call(sidecar, "users").status for _ in range(10)] == [500] * 10
    assert endpoint(sidecar, "users")["circuit"] == "closed"


def test_a_limit_changes_its_mode(sidecar: Sidecar) -> None:
    assert [fetch(sidecar.inbound, "/").status for _ in range(4)] == [200, 200, 429, 429]
    order(sidecar, "/rate-limits?limit=few&mode=shadow")
    assert [fetch(sidecar.inbound, "/").status for _ in range(4)] == [200] * 4
    (few,) = sidecar.admin_json("/rate-limits")
    assert (few["mode"], few["mode_in_file"]) == ("shadow", "enforce")
    assert sidecar.total("meshproxy_shadow_total", limit="few") == 4.0


def test_a_reload_ends_every_order_and_a_failed_one_none(sidecar: Sidecar, app: Origin) -> None:
    order(sidecar, f"/breakers?upstream=users&endpoint={app.address}&force=open")
    order(sidecar, "/rate-limits?limit=few&mode=off")
    sidecar.write(CONFIG + "nonsense: 1\n")
    assert sidecar.reload().status == 422
    assert call(sidecar, "users").status == 503
    sidecar.write(CONFIG.replace("consecutive_failures: 3", "consecutive_failures: 4"))
    assert sidecar.reload().status == 200
    assert call(sidecar, "users").status == 200
    assert sidecar.samples("meshproxy_overrides") == [0.0, 0.0]
    assert "forced" not in sidecar.admin_json("/rate-limits")[0]
    ended = [line["ended"] for line in sidecar.log_lines() if line["event"] == "overrides_ended"]
    assert ended[-1] == [
        f"upstream=users&endpoint={app.address}&force=open",
        "limit=few&scope=inbound.rate_limits[0]&upstream=app&mode=off",
    ]


def test_an_order_for_nobody_says_who_there_is(sidecar: Sidecar, app: Origin) -> None:
    answer = order(sidecar, "/breakers?upstream=paymentz&force=open")
    assert answer.status == 422
    assert f"upstream=users&endpoint={app.address}" in json.loads(answer.body)["error"]


def test_the_last_reloads_can_be_read(sidecar: Sidecar) -> None:
    sidecar.write(CONFIG.replace("limit: 2/h", "limit: 3/h"))
    assert sidecar.reload().status == 200
    sidecar.write(CONFIG + "nonsense: 1\n")
    assert sidecar.reload().status == 422
    *_, good, bad = sidecar.admin_json("/config/history")
    assert (good["ok"], bad["ok"], bad["generation"]) == (True, False, good["generation"])
    assert "nonsense" in bad["errors"][0]
    diff = sidecar.admin_json(f"/config/history?number={good['number']}")["diff"]
    assert [line for line in diff if line[0] in "+-"] == ["-      limit: 2/h", "+      limit: 3/h"]
    text = fetch(sidecar.admin, "/config/text", headers={"Host": "localhost"})
    assert b"limit: 3/h" in text.body
    nobody = fetch(sidecar.admin, "/config/history?number=0", headers={"Host": "localhost"})
    assert nobody.status == 404
