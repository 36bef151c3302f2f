"""A caller's deadline through real sidecars: it shrinks on the way, and everything stops with it.

How exactly it is kept stands in tests/policies/test_deadlines.py, on a clock of our own; here
the limits are wide and the order of things is what counts. `pytest -s` prints the figures.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise

import pytest

from .harness import Client, Conversation, Message, Origin, Sidecar, eventually, fetch, reply
from .harness.client import request

HOP = """
outbound:
  listen: <outbound>
  defaults: {deadlines: {}, circuit_breaker: off}
  services:
    chain: {endpoints: [<next>], retry: off}
    again:
      endpoints: [<next>]
      retry: {attempts: 9, backoff: {strategy: fixed, base: 40ms, jitter: none},
              budget: {min_per_second: 1000}}
    narrow: {endpoints: [<next>], concurrency: {max: 1, queue: 5, queue_timeout: 10s}}
"""

INBOUND = """
inbound:
  listen: <inbound>
  app: <app>
  deadlines: {}
<trust>
"""

OWN = "x-request-deadline"
ENVOY = "x-envoy-expected-rq-timeout-ms"


@pytest.fixture(scope="module")
def hops(app: Origin) -> Iterator[list[Sidecar]]:
    """Three sidecars in a row; the last one leads to the origin."""
    with ExitStack() as stack:
        chain: list[Sidecar] = []
        following = app.address
        for _ in range(3):
            chain.insert(0, stack.enter_context(Sidecar.running(HOP, next=following)))
            following = "{}:{}".format(*chain[0].outbound)
        yield chain


@pytest.fixture
def leaf(hops: list[Sidecar], app: Origin) -> Iterator[Origin]:
    """The origin at the end of the row, with nothing left of the test before."""
    app.forget()
    yield app
    app.forget()


def ask(sidecar: Sidecar, service: str, **headers: str) -> Message:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return fetch(sidecar.outbound, "/", headers={"Host": service, **given})


def silent(peer: Conversation) -> None:
    if peer.request() is not None:
        peer.until_left()


def cut_short(sidecar: Sidecar) -> dict[str, object]:
    """The newest line of the access log about a call whose time ran out, here or one hop before."""

    def found() -> list[dict[str, object]]:
        return [line for line in sidecar.log_lines() if line.get("status") in (499, 504)]

    return eventually(found, what="a line about it")[-1]


def test_a_chain_of_three_stops_everywhere_when_the_time_is_over(
    hops: list[Sidecar], leaf: Origin
) -> None:
    ask(hops[0], "chain")  # the way is paved: no dial is part of what is looked at
    leaf.forget(silent)
    started = time.monotonic()
    answer = ask(hops[0], "chain", x_request_deadline="300")
    took = time.monotonic() - started
    assert (answer.status, answer.get("x-meshproxy-reason")) == (504, "UT")
    assert leaf.conversations[0].closed_by_peer.wait(5.0), "the leaf still works on it"
    stopped = time.monotonic() - started
    assert 0.25 <= took < 2.0
    assert stopped < 2.0
    durations = [cut_short(hop).get("duration_ms") for hop in hops]
    print(f"\nclient {took * 1e3:.1f} ms, leaf {stopped * 1e3:.1f} ms, hops {durations} ms")


def test_each_hop_tells_the_next_what_is_left(hops: list[Sidecar], leaf: Origin) -> None:
    assert ask(hops[0], "chain", grpc_timeout="5S").status == 200
    told = leaf.last
    assert 4000 <= int(told.get(OWN) or 0) <= 5000
    assert told.get(ENVOY) == told.get(OWN)
    assert (told.get("grpc-timeout") or "").endswith("m")


def test_what_the_leaf_is_told_falls_with_each_retry(hops: list[Sidecar], leaf: Origin) -> None:
    def failing(peer: Conversation) -> None:
        while peer.request() is not None:
            peer.send(reply(503))

    leaf.forget(failing)
    assert ask(hops[2], "again", x_request_deadline="500").status in (503, 504)
    told = [int(seen.get(OWN) or 0) for seen in leaf.requests]
    assert len(told) >= 2
    assert all(later <= sooner - 39 for sooner, later in pairwise(told))
    assert told[-1] > 0


def test_what_comes_too_late_is_not_sent(hops: list[Sidecar], leaf: Origin) -> None:
    before = hops[0].total("meshproxy_deadlines_total", outcome="unsent")
    answer = ask(hops[0], "chain", x_envoy_expected_rq_timeout_ms="0")
    assert (answer.status, answer.get("x-meshproxy-reason")) == (504, "UT")
    assert leaf.requests == []
    assert hops[0].total("meshproxy_deadlines_total", outcome="unsent") == before + 1


def test_who_runs_out_of_time_in_a_queue_is_not_sent(hops: list[Sidecar], leaf: Origin) -> None:
    go_on = threading.Event()

    def waiting(peer: Conversation) -> None:
        while peer.request() is not None:
            go_on.wait(10.0)
            peer.send(reply())

    leaf.forget(waiting)
    try:
        with Client(hops[2].outbound) as first:
            first.send(request("GET", "/first", {"Host": "narrow"}))
            leaf.saw(1)
            late = ask(hops[2], "narrow", x_request_deadline="150")
            assert (late.status, late.get("x-meshproxy-reason")) == (504, "UT")
            go_on.set()
            assert first.response().status == 200
        assert ask(hops[2], "narrow").status == 200
        assert [seen.target for seen in leaf.requests] == ["/first", "/"]
    finally:
        go_on.set()


@pytest.mark.parametrize(
    ("trust", "believed"), [("", False), ("trust: {forwarded_from: [127.0.0.0/8]}", True)]
)
def test_only_a_trusted_peer_of_the_app_is_believed(
    app: Origin, trust: str, believed: bool
) -> None:
    app.forget()
    with Sidecar.running(INBOUND.replace("<trust>", trust), app=app.address) as sidecar:
        answer = fetch(sidecar.inbound, "/", headers={OWN: "2000", "grpc-timeout": "1S"})
        assert answer.status == 200
        told = app.last
        assert (int(told.get(OWN) or 0) <= 1000) is believed
        assert int(told.get(OWN) or 0) <= 15000
        assert (told.get("grpc-timeout") is not None) is believed
    app.forget()
