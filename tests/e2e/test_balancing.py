"""Load goes to every endpoint as its balancer says: in turn, by chance, to the idle, the fast,
to the home of a key, to where a session was, and to the next tier when none is left."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from .harness import Client, Conversation, Message, Origin, Sidecar, closed_port, fetch, reply
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
    homes:
      endpoints: [<one>, <two>, <three>]
      load_balancer: {strategy: ring_hash, hash: header:x-user}
    baskets:
      endpoints: [<one>, <two>, <three>]
      load_balancer: {strategy: ring_hash, hash: cookie:basket}
    sessions:
      endpoints: [<one>, <two>, <three>]
      load_balancer: round_robin
      sticky: {cookie: at, ttl: 1m}
      routes:
        - {match: /anywhere, sticky: off}
    moved:
      endpoints: [<one>, <closed>]
      load_balancer: round_robin
      sticky: {}
      retry: {attempts: 1, backoff: {strategy: fixed, base: 1ms, jitter: none}}
    backup:
      endpoints: [<closed>, {address: <two>, tier: 1}, {address: <three>, tier: 2}]
      load_balancer: {strategy: round_robin, slow_start: 10s}
      circuit_breaker: {consecutive_failures: 2, open_for: 60s}
      retry: {attempts: 1, backoff: {strategy: fixed, base: 1ms, jitter: none}}
"""
Trio = tuple[Origin, Origin, Origin]


@pytest.fixture(scope="module")
def trio() -> Iterator[Trio]:
    with Origin.running() as one, Origin.running() as two, Origin.running() as three:
        yield one, two, three


@pytest.fixture(scope="module")
def sidecar(trio: Trio) -> Iterator[Sidecar]:
    one, two, three = (each.address for each in trio)
    with Sidecar.running(CONFIG, one=one, two=two, three=three, closed=closed_port()) as running:
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


def answered_by(sidecar: Sidecar, origins: Trio, service: str, headers: dict[str, str]) -> int:
    """Which of the three got the request."""
    before = [len(each.requests) for each in origins]
    assert fetch(sidecar.outbound, headers={"Host": service, **headers}).status == 200
    got = [len(each.requests) - had for each, had in zip(origins, before, strict=True)]
    assert sum(got) == 1
    return got.index(1)


@pytest.mark.parametrize(
    ("service", "field", "value"),
    [("homes", "x-user", "user-{}"), ("baskets", "cookie", "theme=dark; basket={}")],
)
def test_a_key_stays_at_home_and_the_keys_are_spread(
    sidecar: Sidecar, origins: Trio, service: str, field: str, value: str
) -> None:
    homes = [
        {answered_by(sidecar, origins, service, {field: value.format(key)}) for _ in range(3)}
        for key in range(30)
    ]
    assert all(len(home) == 1 for home in homes)
    assert set.union(*homes) == {0, 1, 2}
    assert all(each.get(field) is not None for origin in origins for each in origin.requests)


def cookie_of(answer: Message) -> str:
    (line,) = answer.all("set-cookie")
    assert line.endswith("; HttpOnly; SameSite=Lax")
    return line.partition(";")[0]


def test_a_session_stays_where_it_began(sidecar: Sidecar, origins: Trio) -> None:
    first = fetch(sidecar.outbound, headers={"Host": "sessions"})
    cookie = cookie_of(first)
    assert cookie.startswith("at=")
    began = [len(each.requests) for each in origins].index(1)
    for _ in range(9):
        answer = fetch(sidecar.outbound, headers={"Host": "sessions", "Cookie": cookie})
        assert answer.all("set-cookie") == []
    assert [len(each.requests) for each in origins][began] == 10


def test_sessions_are_many_and_spread_by_the_balancer(sidecar: Sidecar, origins: Trio) -> None:
    fetched = [fetch(sidecar.outbound, headers={"Host": "sessions"}) for _ in range(6)]
    assert len({cookie_of(answer) for answer in fetched}) == 3


def test_a_route_may_go_anywhere(sidecar: Sidecar, origins: Trio) -> None:
    cookie = cookie_of(fetch(sidecar.outbound, headers={"Host": "sessions"}))
    for each in origins:
        each.forget()
    for _ in range(6):
        headers = {"Host": "sessions", "Cookie": cookie}
        assert fetch(sidecar.outbound, "/anywhere", headers=headers).all("set-cookie") == []
    assert [len(each.requests) for each in origins] == [2, 2, 2]


def test_a_session_whose_endpoint_is_gone_gets_another(sidecar: Sidecar, origins: Trio) -> None:
    """Only one of the two answers: so every cookie that is set names that one."""
    answers = [fetch(sidecar.outbound, headers={"Host": "moved"}) for _ in range(4)]
    assert {answer.status for answer in answers} == {200}
    (cookie,) = {cookie_of(answer) for answer in answers}
    foreign = f"{cookie.partition('=')[0]}=0123456789abcdef"
    assert (
        cookie_of(fetch(sidecar.outbound, headers={"Host": "moved", "Cookie": foreign})) == cookie
    )
    kept = fetch(sidecar.outbound, headers={"Host": "moved", "Cookie": cookie})
    assert kept.all("set-cookie") == []


def test_the_next_tier_takes_over_and_no_caller_feels_it(sidecar: Sidecar, origins: Trio) -> None:
    assert spread(sidecar, origins, "backup", 20) == [0, 20, 0]
