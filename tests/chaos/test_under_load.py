"""Faults under a steady load, with every request accounted for.

One of two upstreams is killed, stopped, black-holed, slowed, reset within its answers; everything
fails through two sidecars (F47); an outage meets callers that retry (F48). Times are generous,
counts are exact. The same for minutes: `make resilience`.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Client, Sidecar, eventually, fetch

from . import scenes
from .echo import Upstream

Stage = tuple[Sidecar, scenes.Scene, Upstream]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with scenes.pair(tmp_path_factory.mktemp("pair")) as running:
        yield running


LEAST = {"reset-mid-body": 0.88}
"""Share of the GETs that must succeed: an answer that has begun cannot be tried again,
but seven of them open the circuit."""


@pytest.mark.slow
@pytest.mark.parametrize("fault", scenes.FAULTS)
def test_an_upstream_that_is_hurt_costs_no_post_twice_and_nobody_an_answer(
    stage: Stage, fault: str
) -> None:
    run = scenes.hurt_one(stage, fault, rate=80, seconds=1.8)
    assert run.broken == []
    times = Counter(run.seen)
    posts = [one for one in run.ledger.sent if one.method == "POST"]
    assert max(times["POST", one.id] for one in posts) == 1
    cut = [one for one in run.ledger.sent if one.error]
    assert len(cut) == 0 or fault == "reset-mid-body", run.ledger.outcomes()
    gets = [one for one in run.ledger.sent if one.method == "GET"]
    assert sum(one.ok for one in gets) >= LEAST.get(fault, 0.9) * len(gets)
    sidecar = stage[0]
    eventually(lambda: whole_again(sidecar), 10, "recovery")


@pytest.mark.slow
def test_second_attempts_and_other_services_cost_no_post_twice_either(tmp_path: Path) -> None:
    """Hedging and a fallback beside retries: those who help must not do harm."""
    with scenes.pair(tmp_path, helped=True) as stage:
        for fault in ("killed", "slow"):
            run = scenes.hurt_one(stage, fault, rate=80, seconds=1.8, tries=scenes.MOST_TRIES)
            assert run.broken == []
            gets = [one for one in run.ledger.sent if one.method == "GET"]
            assert sum(one.ok for one in gets) >= 0.98 * len(gets), run.ledger.outcomes()
            eventually(lambda: whole_again(stage[0]), 10, "recovery")
        assert stage[0].total("meshproxy_hedges_total", outcome="won") > 0


def whole_again(sidecar: Sidecar) -> bool:
    """Both upstreams are asked again, and all is well."""
    with Client(sidecar.outbound) as client:
        good = all(client.ask("GET", "/", {"Host": "pair"}).status == 200 for _ in range(20))
    return good and set(sidecar.samples("meshproxy_breaker_state", upstream="pair")) == {0.0}


def test_f47_a_storm_through_two_sidecars_stays_within_both_budgets(tmp_path: Path) -> None:
    run = scenes.storm(tmp_path, rate=200, seconds=2.0, budget="ratio: 20%, min_per_second: 0")
    assert {one.status for one in run.ledger.sent} == {503}
    assert 1.2 <= run.attempts <= 1.44, "both budgets were used, and none was exceeded"


@pytest.mark.slow
def test_f48_callers_that_retry_do_not_keep_an_upstream_down(tmp_path: Path) -> None:
    run = scenes.outage(tmp_path, before=0.6, down=1.6, after=3.0)
    assert run.share_ok(0.8, 2.0) < 0.1, "there was no outage"
    last = run.ledger.sent[-100:]
    assert sum(one.ok for one in last) >= 99
    assert run.ledger.verdicts(run.seen, tries=3) == []


@pytest.mark.slow
def test_f46_too_much_is_shed_and_the_rest_is_served(tmp_path: Path) -> None:
    run = scenes.overload(tmp_path, times=3.0, seconds=2.5)
    shed = [one for one in run.ledger.sent if one.reason == "UO"]
    assert run.ledger.ok >= 0.8 * 2.5 * scenes.CAPACITY, run.ledger.outcomes()
    assert len(shed) + run.ledger.ok >= 0.95 * len(run.ledger.sent), run.ledger.outcomes()
    assert shed[0].began - run.ledger.sent[0].began < 1.0
    assert run.ledger.verdicts(run.seen) == []


CLOCKS = """
inbound:
  listen: <inbound>
  app: http://<app>
  rate_limits: [{limit: 20/s, burst: 20}]
"""


def test_f50_a_sidecar_that_stood_still_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    """Stopped for a while with requests in its sockets: all are answered, one burst at most."""
    with Upstream.running(tmp_path) as app, Sidecar.running(CLOCKS, app=app.address) as sidecar:
        assert fetch(sidecar.inbound).status == 200
        clients = [Client(sidecar.inbound) for _ in range(60)]
        sidecar.signal(signal.SIGSTOP)
        try:
            for client in clients:
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(1.5)  # what is tested: the clock goes on, the process does not
        finally:
            sidecar.signal(signal.SIGCONT)
        statuses = Counter(client.response().status for client in clients)
        for client in clients:
            client.close()
        assert set(statuses) == {200, 429}
        assert 20 <= statuses[200] <= 30, "a burst, and what came in while it was spent"
        eventually(lambda: fetch(sidecar.inbound).status == 200, what="the next token")


LIMITED = """
inbound:
  listen: <inbound>
  app: http://<app>
  idle_timeout: {idle}
  rate_limits: [{{limit: 20/1h, burst: 20}}]
"""


def test_f45_reloads_refill_no_bucket(tmp_path: Path) -> None:
    config = LIMITED.format(idle="60s")
    with Upstream.running(tmp_path) as app, Sidecar.running(config, app=app.address) as sidecar:
        statuses: Counter[int] = Counter()
        for number in range(10):
            statuses.update(fetch(sidecar.inbound).status for _ in range(5))
            sidecar.write(LIMITED.format(idle=f"{61 + number}s"))
            assert sidecar.reload().status == 200
        assert statuses == {200: 20, 429: 30}
