"""A limit admits what it says, tells what is left, and takes nothing from a request it refuses.

Admission is judged against the clock of the test itself, so a slow machine changes the length of
a run and not its verdict.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass

import pytest

from .harness import Client, Message, Origin, Sidecar, fetch
from .harness.client import request

CONFIG = """
inbound:
  listen: <inbound>
  app: http://<app>
  routes:
    - match: GET /bucket
      rate_limits: [{limit: 50/s, burst: 10, per: [header:x-client-id]}]
    - match: GET /window
      rate_limits:
        - {limit: 50/s, algorithm: sliding_window, per: [header:x-client-id]}
    - match: GET /few
      rate_limits: [{name: few, limit: 3/m, burst: 3, per: [header:x-client-id]}]
    - match: GET /tiers
      rate_limits:
        - name: tiers
          limit: 1/m
          burst: 2
          per: [header:x-client-id]
          tiers: {header: x-tier, premium: {limit: 1/m, burst: 6}}
    - match: GET /several
      rate_limits:
        - {name: wide, limit: 1/m, burst: 6}
        - {name: narrow, limit: 1/m, burst: 2, per: [header:x-client-id]}
    - match: /by-method
      rate_limits: [{limit: 1/m, burst: 1, per: [method]}]
    - match: GET /by-address
      rate_limits: [{limit: 1/m, burst: 2, per: [ip]}]
    - match: GET /off
      rate_limits: off
"""


def get(sidecar: Sidecar, target: str, client: str = "", **headers: str) -> Message:
    return fetch(sidecar.inbound, target, headers={"X-Client-Id": client, **headers})


def admitted(sidecar: Sidecar, target: str, count: int, client: str = "", **headers: str) -> int:
    answers = [get(sidecar, target, client, **headers) for _ in range(count)]
    return sum(answer.status == 200 for answer in answers)


def test_a_refusal_tells_everything(sidecar: Sidecar, origin: Origin) -> None:
    for _ in range(3):
        assert get(sidecar, "/few", "tell").status == 200
    answer = get(sidecar, "/few", "tell")
    assert (answer.status, answer.get("x-meshproxy-reason")) == (429, "RL")
    assert 1 <= int(answer.get("retry-after") or "") <= 20
    assert '"few";r=0;t=' in (answer.get("ratelimit") or "")
    assert '"few";q=3;w=60' in (answer.get("ratelimit-policy") or "")
    assert answer.get("content-type") == "application/problem+json"
    problem = json.loads(answer.body)
    assert problem["status"] == 429
    assert "few" in answer.body.decode()
    assert answer.get("x-request-id") is not None
    assert len(origin.requests) == 3


def test_a_refused_client_stays_connected(sidecar: Sidecar, origin: Origin) -> None:
    with Client(sidecar.inbound) as client:
        statuses = [client.ask("GET", "/few", {"X-Client-Id": "stays"}).status for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert client.ask("GET", "/off").status == 200


def test_a_refused_body_does_not_become_a_request(sidecar: Sidecar, origin: Origin) -> None:
    inner = request("GET", "/inner")
    with Client(sidecar.inbound) as client:
        assert client.ask("PUT", "/by-method", body=inner).status == 200
        client.send(request("PUT", "/by-method", body=inner))
        assert client.response().status == 429
        client.send_pieces([request("GET", "/off")])
        if not client.closed_by_peer():
            assert client.response().status == 200
    assert "/inner" not in [seen.target for seen in origin.requests]


def test_clients_have_a_limit_each(sidecar: Sidecar, origin: Origin) -> None:
    assert admitted(sidecar, "/few", 5, "one") == 3
    assert admitted(sidecar, "/few", 5, "two") == 3


def test_a_tier_has_its_own_limit(sidecar: Sidecar, origin: Origin) -> None:
    assert admitted(sidecar, "/tiers", 9, "plain") == 2
    assert admitted(sidecar, "/tiers", 9, "unknown", **{"X-Tier": "gold"}) == 2
    assert admitted(sidecar, "/tiers", 9, "good", **{"X-Tier": "premium"}) == 6


def test_a_refused_request_spends_nothing(sidecar: Sidecar, origin: Origin) -> None:
    assert admitted(sidecar, "/several", 20, "greedy") == 2
    assert admitted(sidecar, "/several", 20, "second") == 2
    assert admitted(sidecar, "/several", 20, "third") == 2
    assert admitted(sidecar, "/several", 1, "fourth") == 0
    assert "wide" in get(sidecar, "/several", "fifth").body.decode()


def test_methods_and_addresses_are_keys(sidecar: Sidecar, origin: Origin) -> None:
    for method in ("POST", "DELETE"):
        statuses = [fetch(sidecar.inbound, "/by-method", method).status for _ in range(2)]
        assert statuses == [200, 429], method
    assert admitted(sidecar, "/by-address", 5) == 2


def test_an_address_that_is_only_claimed_is_no_key(sidecar: Sidecar, origin: Origin) -> None:
    for i in range(4):
        answer = get(sidecar, "/by-address", **{"X-Forwarded-For": f"203.0.113.{i}"})
    assert answer.status == 429


def test_refusals_are_counted(sidecar: Sidecar, origin: Origin) -> None:
    before = sidecar.total("meshproxy_rate_limited_total", limit="few")
    admitted(sidecar, "/few", 5, "counted")
    assert sidecar.total("meshproxy_rate_limited_total", limit="few") == before + 2
    assert sidecar.total("meshproxy_requests_total", code="429", flags="RL") >= 2


@dataclass
class Run:
    """One client at one pace against one route: what it sent, what was admitted, how long."""

    target: str
    pace: float
    sent: int = 0
    admitted: int = 0
    took: float = 0.0

    def go(self, sidecar: Sidecar, seconds: float) -> None:
        headers = {"X-Client-Id": f"{self.target} {self.pace}"}
        with Client(sidecar.inbound) as client:
            started = time.monotonic()
            while (elapsed := time.monotonic() - started) < seconds:
                due = 1 + int(elapsed * self.pace) - self.sent
                for _ in range(min(due, 50)):
                    self.admitted += client.ask("GET", self.target, headers).status != 429
                    self.sent += 1
                time.sleep(max(0.0, started + self.sent / self.pace - time.monotonic()))
            self.took = elapsed


@pytest.mark.slow
def test_admission_is_within_two_percent(sidecar: Sidecar, origin: Origin) -> None:
    limit, burst, seconds = 50.0, 10, 10.0
    runs = [Run(t, limit * n) for t in ("/bucket", "/window") for n in (1, 2, 10)]
    threads = [threading.Thread(target=run.go, args=(sidecar, seconds)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for run in runs:
        allowed = limit * run.took
        slack = burst if run.target == "/bucket" else 0
        assert run.admitted <= allowed * 1.02 + slack + 1, run
        assert run.admitted >= min(allowed, run.sent) * 0.98 - 1, run
