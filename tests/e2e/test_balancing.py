"""Load goes to every endpoint as its balancer says: in turn, by chance, to the idle, the fast."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from .harness import Client, Conversation, Origin, Sidecar, fetch, reply
from .harness.client import request

CONFIG = """
outbound:
  listen: <outbound>
  defaults: {retry: off, circuit_breaker: off}
  services:
    turns: {endpoints: [<one>, <two>, <three>], load_balancer: round_robin}
    weights:
      load_balancer: round_robin
      endpoints: [{address: <one>, weight: 1}, {address: <two>, weight: 2},
                  {address: <three>, weight: 3}]
    random: {endpoints: [<one>, <two>, <three>], load_balancer: random}
    idle: {endpoints: [<one>, <two>, <three>], load_balancer: least_request}
    fast: {endpoints: [<one>, <two>, <three>], load_balancer: peak_ewma}
    plain: {endpoints: [<one>, <two>, <three>]}
    fresh: {endpoints: [<one>, <two>, <three>], load_balancer: peak_ewma}
"""
Trio = tuple[Origin, Origin, Origin]


@pytest.fixture(scope="module")
def trio() -> Iterator[Trio]:
    with Origin.running() as one, Origin.running() as two, Origin.running() as three:
        yield one, two, three


@pytest.fixture(scope="module")
def sidecar(trio: Trio) -> Iterator[Sidecar]:
    one, two, three = (each.address for each in trio)
    with Sidecar.running(CONFIG, one=one, two=two, three=three) as running:
        yield running


@pytest.fixture
def origins(sidecar: Sidecar, trio: Trio) -> Iterator[Trio]:
    for each in trio:
        each.forget()
    yield trio
    for each in trio:
        each.forget()


def spread(sidecar: Sidecar, origins: Trio, service: str, count: int) -> list[int]:
    before = [len(each.requests) for each in origins]
    with Client(sidecar.outbound) as client:
        for _ in range(count):
            assert client.ask("GET", "/", {"Host": service}).status == 200
    return [len(each.requests) - had for each, had in zip(origins, before, strict=True)]


def test_in_turn_is_even(sidecar: Sidecar, origins: Trio) -> None:
    assert spread(sidecar, origins, "turns", 300) == [100, 100, 100]


def test_in_turn_follows_weights_smoothly(sidecar: Sidecar, origins: Trio) -> None:
    assert spread(sidecar, origins, "weights", 6) == [1, 2, 3]
    assert spread(sidecar, origins, "weights", 594) == [99, 198, 297]


@pytest.mark.parametrize("service", ["random", "idle", "fast", "plain"])
def test_every_endpoint_gets_a_share(sidecar: Sidecar, origins: Trio, service: str) -> None:
    counts = spread(sidecar, origins, service, 600)
    assert sum(counts) == 600
    # Peak-EWMA keeps to whoever answered fastest, and only tries everyone.
    assert min(counts) >= (1 if service in ("fast", "plain") else 100), counts


@pytest.mark.parametrize("service", ["idle", "fresh"])
def test_a_busy_endpoint_is_avoided(sidecar: Sidecar, origins: Trio, service: str) -> None:
    release = threading.Event()

    def hold(peer: Conversation) -> None:
        while (seen := peer.request()) is not None:
            if seen.target == "/hold":
                assert release.wait(10)
            peer.send(reply())

    for each in origins:
        each.forget(hold)
    held = [Client(sidecar.outbound) for _ in range(12)]
    try:
        for i, client in enumerate(held):
            client.send(request("GET", "/hold", {"Host": service}))
            while sum(len(each.requests) for each in origins) <= i:
                release.wait(0.005)
        loads = [len(each.requests) for each in origins]
        assert sum(loads) == 12
        assert max(loads) <= 7, loads
    finally:
        release.set()
        for client in held:
            client.close()


def test_other_paths_do_not_disturb_the_turns(sidecar: Sidecar, origins: Trio) -> None:
    for i in range(30):
        assert fetch(sidecar.outbound, f"/{i}", headers={"Host": "turns"}).status == 200
    assert [len(each.requests) for each in origins] == [10, 10, 10]
