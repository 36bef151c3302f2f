"""The dashboard and the rules with a real Prometheus and a real sidecar: every query finds data.

The traffic below meets everything that is counted: each policy, each failure, traces.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .harness import Client, Conversation, Origin, Sidecar, closed_port, eventually, fetch, reply
from .harness.sidecar import ROOT
from .prometheus import Prometheus

pytestmark = [pytest.mark.server("prometheus"), pytest.mark.slow]

RULES = [ROOT / "config" / "prometheus" / name for name in ("recording.yml", "alerts.yml")]
BOARD = json.loads((ROOT / "config" / "grafana" / "meshproxy.json").read_text())
PATIENCE = 60.0
"""Seconds until a query must have found something; most do at once."""

CONFIG = """
service: {name: orders, version: "1.2"}
tracing: {propagate: [tracecontext], sample: 100%, export: "http://<closed>"}
metrics: {listen: <metrics>, compat: [istio]}
logs: {access: off}
overload: {}
trust: {forwarded_from: [127.0.0.0/8]}
inbound:
  listen: <inbound>
  app: http://<app>
  health_check: {path: /healthz, interval: 1s}
  deadlines: {}
  routes:
    - {name: limited, match: /limited, rate_limits: [{name: tight, limit: 1/m, burst: 1}]}
    - {name: dark, match: /dark, rate_limits: [{name: trial, limit: 1/m, burst: 1, mode: shadow}]}
    - {name: narrow, match: /slow, concurrency: {max: 1, queue: 1, queue_timeout: 1ms}}
    - {name: faulty, match: /faulty, faults: {inject: [{abort: 500, percent: 100%}]}}
outbound:
  listen: <outbound>
  services:
    users:
      endpoints: [<app>, <app_too>]
      cache: {ttl: 1s}
      routes:
        - {name: hedged, match: /slow, cache: off, hedge: {after: 1ms, max_extra: 100%}}
    gone:
      endpoints: [{address: <closed>, version: v1}, {address: <closed_too>, version: v2}]
      retry: {attempts: 2, budget: {ratio: 10%, min_per_second: 1}}
      circuit_breaker: {consecutive_failures: 2, open_for: 100ms, max_open_for: 200ms, panic: 80%}
      fallback: {static: {status: 200, body: instead}}
    lost:
      endpoints: [<closed>]
      retry: off
"""


def app_script(peer: Conversation) -> None:
    """An app that is slow where it is asked to be."""
    while (request := peer.request()) is not None:
        if request.target == "/slow":
            time.sleep(0.02)
        peer.send(reply())


class Traffic:
    """Everything once, and again, until it is stopped; in a few threads, so that some wait."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self._over = threading.Event()
        self.failed: list[Exception] = []
        self._threads = [threading.Thread(target=self._run, args=(turn,)) for turn in range(3)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(20)

    def _run(self, turn: int) -> None:
        while not self._over.wait(0.01):
            try:
                self._once(turn)
            except Exception as error:  # noqa: BLE001  # told by the test, not by the thread
                self.failed.append(error)
                return

    def _once(self, turn: int) -> None:
        inbound, outbound = self._sidecar.inbound, self._sidecar.outbound
        for path in ("/orders", "/limited", "/dark", "/slow", "/faulty"):
            headers = {"x-envoy-expected-rq-timeout-ms": "5000"} if path == "/orders" else {}
            fetch(inbound, path, "GET" if turn else "POST", headers)
        for host, path in (("users", "/a"), ("users", "/slow"), ("gone", "/"), ("lost", "/"),
                           ("nobody", "/")):  # fmt: skip
            fetch(outbound, path, headers={"Host": host})
        with Client(inbound) as client:
            client.send(b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n")
            assert client.response().status == 400


@pytest.fixture(scope="module")
def app() -> Iterator[Origin]:
    with Origin.running(app_script) as running:
        yield running


@pytest.fixture(scope="module")
def sidecar(app: Origin) -> Iterator[Sidecar]:
    others = {"closed": closed_port(), "closed_too": closed_port()}
    others["app_too"] = f"localhost:{app.port}"  # the same by another name: a second endpoint
    with Sidecar.running(CONFIG, app=app.address, **others) as running:
        yield running


@pytest.fixture(scope="module")
def traffic(sidecar: Sidecar) -> Iterator[Traffic]:
    with Traffic(sidecar) as going:
        yield going
    assert going.failed == []


@pytest.fixture(scope="module")
def prometheus(
    sidecar: Sidecar, traffic: Traffic, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    host, port = sidecar.metrics
    folder: Path = tmp_path_factory.mktemp("prometheus")
    with Prometheus.running(folder, {"orders": f"{host}:{port}"}, RULES) as server:
        yield server


def filled(expr: str) -> str:
    """A query of the board as Grafana sends it."""
    for name, value in (
        ("$__rate_interval", "15s"), ("$__interval", "15s"), ("$job", ".*"), ("$instance", ".*"),
    ):  # fmt: skip
        expr = expr.replace(name, value)
    assert "$" not in expr
    return expr


QUERIES = [
    pytest.param(filled(target["expr"]), id=f"{panel['title']} {target['refId']}")
    for panel in BOARD["panels"]
    for target in panel.get("targets", [])
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_panel_shows_something(prometheus: Prometheus, query: str) -> None:
    eventually(lambda: prometheus.ask(query), within=PATIENCE, what=query)


def test_the_variables_of_the_board_have_something_to_choose_from(prometheus: Prometheus) -> None:
    chosen: dict[str, str] = {}
    for variable in BOARD["templating"]["list"][1:]:
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
        assert found is not None
        query = found[1].replace("$job", ".*")
        values = {labels[found[2]] for labels, _ in prometheus.ask(query)}
        chosen[variable["name"]] = values.pop()
    assert chosen["job"] == "orders"


def rules(prometheus: Prometheus) -> list[dict[str, Any]]:
    groups = prometheus.get("rules")["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_rule_is_evaluated_without_an_error(prometheus: Prometheus) -> None:
    def unhealthy() -> list[str]:
        return [rule["name"] for rule in rules(prometheus) if rule["health"] != "ok"]

    eventually(lambda: not unhealthy(), within=PATIENCE, what="an evaluation of all")
    assert [rule["lastError"] for rule in rules(prometheus) if rule.get("lastError")] == []
    assert len(rules(prometheus)) > 30


def test_every_recording_rule_makes_series(prometheus: Prometheus) -> None:
    names = {rule["name"] for rule in rules(prometheus) if rule["type"] == "recording"}
    assert len(names) > 10
    for name in sorted(names):
        eventually(lambda name=name: prometheus.ask(name), within=PATIENCE, what=name)


def alerts(prometheus: Prometheus) -> dict[str, dict[str, str]]:
    """The notes of the alerts that are pending or firing, by name."""
    found = prometheus.get("alerts")["alerts"]
    return {each["labels"]["alertname"]: each["annotations"] for each in found}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("MeshproxyErrorRateHigh", "of outbound requests to lost fail"),
        ("MeshproxyRateLimiterSaturated", "of limited (inbound)"),
        ("MeshproxyRetryBudgetSpent", "orders: the retry budget for gone is spent"),
        ("MeshproxySheds", "orders: inbound requests of narrow are shed"),
        ("MeshproxyBreakerCapped", "more endpoints of gone fail"),
    ],
)
def test_an_alert_notices_what_is_wrong(prometheus: Prometheus, name: str, said: str) -> None:
    def told() -> bool:
        found = prometheus.get("alerts")["alerts"]
        return any(
            each["labels"]["alertname"] == name and said in each["annotations"]["summary"]
            for each in found
        )

    eventually(told, within=PATIENCE, what=name)


def test_an_alert_notices_a_reload_that_failed_and_its_repair(
    prometheus: Prometheus, sidecar: Sidecar
) -> None:
    assert "MeshproxyReloadFailed" not in alerts(prometheus)
    sidecar.write(CONFIG.replace("service:", "servise:"))
    assert sidecar.reload().status == 422
    eventually(
        lambda: "MeshproxyReloadFailed" in alerts(prometheus), within=PATIENCE, what="the alert"
    )
    sidecar.write(CONFIG)
    assert sidecar.reload().status == 200
    eventually(
        lambda: "MeshproxyReloadFailed" not in alerts(prometheus), within=PATIENCE, what="its end"
    )


@pytest.mark.parametrize("histogram", ["request_duration", "time_to_first_byte"])
def test_prometheus_keeps_exemplars_that_name_traces_the_app_saw(
    prometheus: Prometheus, app: Origin, histogram: str
) -> None:
    query = f'meshproxy_{histogram}_seconds_bucket{{direction="inbound", route="default"}}'

    def traces() -> set[str]:
        series = prometheus.get(
            "query_exemplars", query=query, start=str(time.time() - 600), end=str(time.time() + 60)
        )
        return {
            one["labels"]["trace_id"]
            for each in series
            for one in each["exemplars"]
            if 0.0 <= float(one["value"]) <= float(each["seriesLabels"]["le"])
        }

    found = eventually(traces, within=PATIENCE, what="an exemplar")
    seen = {(each.get("traceparent") or "").split("-")[1] for each in list(app.requests)
            if each.get("traceparent")}  # fmt: skip
    assert found <= seen


INBOUND = '{reporter="destination",destination_service=~"orders"}'
LOST = 'reporter="source",destination_workload="lost"'
OWN = '{reporter="source",source_workload="orders"}'


@pytest.mark.parametrize(
    "query",
    [
        f"round(sum(irate(istio_requests_total{INBOUND}[1m])), 0.001)",
        (
            f'sum(rate(istio_requests_total{{{LOST},response_code=~"5.*"}}[1m]))'
            f" / sum(rate(istio_requests_total{{{LOST}}}[1m]))"
        ),
        (
            "histogram_quantile(0.99, sum by (le, destination_canonical_service)"
            f" (irate(istio_request_duration_milliseconds_bucket{OWN}[1m])))"
        ),
        'sum(istio_requests_total{destination_service_name="BlackHoleCluster"})',
    ],
    ids=["requests", "errors", "durations", "outside"],
)
def test_questions_as_istio_s_dashboards_ask_them_have_answers(
    prometheus: Prometheus, query: str
) -> None:
    eventually(lambda: prometheus.ask(query), within=PATIENCE, what=query)


def test_the_traffic_went_on_all_the_while(traffic: Traffic) -> None:
    assert traffic.failed == []
