"""Injected faults as callers meet them: late, refused, cut off, slow; and only where asked for."""

from __future__ import annotations

import time

import pytest

from .harness import (
    Client,
    Message,
    Origin,
    Sidecar,
    TruncatedError,
    answering,
    eventually,
    fetch,
    reply,
)

CONFIG = """
inbound:
  listen: <inbound>
  app: <app>
  faults: {headers: true}
outbound:
  listen: <outbound>
  defaults: {retry: {attempts: 3}}
  services:
    well: {endpoints: [<app>]}
    late: {endpoints: [<app>], faults: {inject: [{delay: 200ms}]}}
    cut: {endpoints: [<app>], faults: {inject: [{reset: true}]}}
    slow: {endpoints: [<app>], faults: {inject: [{bandwidth: 20KiB/s}]}}
    some: {endpoints: [<app>], faults: {inject: [{abort: 503, percent: 50%}]}}
    asked: {endpoints: [<app>], faults: {headers: true}}
    routed:
      endpoints: [<app>]
      routes:
        - {match: GET /bad, faults: {inject: [{abort: 418}]}}
"""


def ask(sidecar: Sidecar, service: str, target: str = "/", **headers: str) -> Message:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return fetch(sidecar.outbound, target, headers={"Host": service, **given})


def faults(sidecar: Sidecar, upstream: str, fault: str) -> float:
    return sidecar.total("meshproxy_faults_total", upstream=upstream, fault=fault)


def test_a_delay_comes_before_anything_is_sent(sidecar: Sidecar, origin: Origin) -> None:
    started = time.monotonic()
    answer = ask(sidecar, "late")
    assert answer.status == 200
    assert time.monotonic() - started >= 0.19
    assert faults(sidecar, "late", "delay") == 1.0


def test_a_refusal_names_itself_and_reaches_nobody(sidecar: Sidecar, origin: Origin) -> None:
    answer = ask(sidecar, "routed", "/bad")
    assert (answer.status, answer.get("x-meshproxy-reason")) == (418, "FI")
    assert answer.get("content-type") == "application/problem+json"
    assert origin.requests == []
    assert ask(sidecar, "routed", "/good").status == 200


def test_a_connection_is_reset(sidecar: Sidecar, origin: Origin) -> None:
    with Client(sidecar.outbound) as client, pytest.raises((OSError, TruncatedError)):
        client.ask("GET", "/", {"Host": "cut"})
    assert origin.requests == []
    assert faults(sidecar, "cut", "reset") == 1.0


def test_an_answer_is_slowed_down_and_whole(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(reply(body=b"x" * 10_240))
    started = time.monotonic()
    answer = ask(sidecar, "slow")
    assert len(answer.body) == 10_240
    assert time.monotonic() - started >= 0.35


def test_a_share_of_the_requests_meets_it_and_is_not_retried(
    sidecar: Sidecar, origin: Origin
) -> None:
    with Client(sidecar.outbound) as client:
        statuses = [client.ask("GET", "/", {"Host": "some"}).status for _ in range(200)]
    assert 60 <= statuses.count(503) <= 140
    assert len(origin.requests) == statuses.count(200)
    assert faults(sidecar, "some", "abort") == statuses.count(503)


def test_a_trusted_caller_may_ask_and_the_field_goes_no_further(
    sidecar: Sidecar, origin: Origin
) -> None:
    assert ask(sidecar, "asked", x_fault_abort="429").status == 429
    assert origin.requests == []
    assert ask(sidecar, "asked", x_fault_delay="10ms").status == 200
    assert origin.last.get("x-fault-delay") is None


def test_where_nothing_was_asked_for_the_field_is_any_other(
    sidecar: Sidecar, origin: Origin
) -> None:
    assert ask(sidecar, "well", x_fault_abort="429").status == 200
    assert origin.last.get("x-fault-abort") == "429"


def test_an_untrusted_caller_of_the_app_may_not_ask(sidecar: Sidecar, origin: Origin) -> None:
    answer = fetch(sidecar.inbound, "/", headers={"x-fault-abort": "503"})
    assert answer.status == 200
    assert origin.last.get("x-fault-abort") is None


def test_who_was_not_asked_is_never_touched(sidecar: Sidecar, origin: Origin) -> None:
    with Client(sidecar.outbound) as client:
        assert {client.ask("GET", "/", {"Host": "well"}).status for _ in range(50)} == {200}
    assert faults(sidecar, "well", "abort") == 0.0


def test_the_log_says_that_it_was_on_purpose(sidecar: Sidecar, origin: Origin) -> None:
    ask(sidecar, "routed", "/bad")
    eventually(lambda: any(line.get("reason") == "FI" for line in sidecar.log_lines()))
