"""Overload on real sockets: who is refused, who never is, and what the callers and metrics see.

How well an adaptive limit does is simulated in tests/logic/test_gradient.py; here it is wired.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from .harness import Client, Conversation, Origin, Sidecar, answering, eventually, fetch, reply

CONFIG = """
inbound:
  listen: <inbound>
  app: http://<app>
  priority: {header: x-priority}
  concurrency: {max: 1, queue: 2, queue_timeout: 5s}
trust: {forwarded_from: [127.0.0.0/8]}
"""
PRESSED = """
inbound:
  listen: <inbound>
  app: http://<app>
  routes:
    - {match: /vital, priority: high}
overload: {loop_lag: off, memory: 0.0001%, mode: MODE}
"""
ADAPTIVE = """
inbound:
  listen: <inbound>
  app: http://<app>
  concurrency: {max: adaptive, min: 2, queue: 0}
"""
TRIED_OUT = """
inbound: {listen: <inbound>, app: http://<app>, concurrency: {max: 1, queue: 0, mode: shadow}}
"""


@pytest.fixture
def pressed(app: Origin) -> Iterator[Sidecar]:
    """One whose memory is always short."""
    with Sidecar.running(PRESSED.replace("MODE", "enforce"), app=app.address) as running:
        eventually(lambda: running.total("meshproxy_overload_level") == 3.0, what="the top")
        yield running


def asking(sidecar: Sidecar, path: str, headers: dict[str, str], answers: dict[str, int]) -> None:
    answers[path] = fetch(sidecar.inbound, path, headers=headers).status


def test_in_a_full_queue_the_important_go_first_and_the_least_so_is_put_out(
    sidecar: Sidecar, origin: Origin
) -> None:
    go_on = threading.Semaphore(0)

    def one_by_one(peer: Conversation) -> None:
        while peer.request() is not None:
            go_on.acquire(timeout=10.0)
            peer.send(reply())

    origin.forget(one_by_one)
    answers: dict[str, int] = {}
    callers: list[threading.Thread] = []
    queued = 0
    for path, priority in (("/first", ""), ("/low", "low"), ("/plain", ""), ("/high", "high")):
        headers = {"X-Priority": priority} if priority else {}
        caller = threading.Thread(target=asking, args=(sidecar, path, headers, answers))
        caller.start()
        callers.append(caller)
        if path == "/first":
            origin.saw(1)
        else:
            queued = min(queued + 1, 2)
            eventually(lambda n=queued: sidecar.total("meshproxy_concurrency_queued") == n)  # type: ignore[misc]  # a lambda's default has no type
    eventually(lambda: answers.get("/low") == 503, what="the low one is put out")
    for _ in callers:
        go_on.release()
    for caller in callers:
        caller.join(10.0)
    assert answers == {"/first": 200, "/low": 503, "/plain": 200, "/high": 200}
    assert [request.target for request in origin.requests] == ["/first", "/high", "/plain"]
    assert sidecar.total("meshproxy_shed_total", why="concurrency") == 1


def test_f40_short_of_memory_it_sheds_and_says_when_to_come_back(
    pressed: Sidecar, app: Origin
) -> None:
    app.forget()
    with Client(pressed.inbound) as client:
        answer = client.ask("GET", "/any")
        assert client.closed_by_peer()
    told = json.loads(answer.body)
    assert (answer.status, answer.get("retry-after")) == (503, "1")
    assert answer.get("content-type") == "application/problem+json"
    assert (told["reason"], told["retry_after"]) == ("UO", 1)
    assert "short of memory" in told["detail"]
    assert app.requests == []
    assert pressed.total("meshproxy_shed_total", route="default", why="memory") == 1
    assert pressed.total("meshproxy_memory_pressure") > 0.0


def test_f40_the_important_the_probes_and_the_admin_port_are_never_shed(
    pressed: Sidecar, app: Origin
) -> None:
    app.forget()
    with Client(pressed.inbound) as client:
        assert client.ask("GET", "/vital").status == 200
        assert client.closed_by_peer()
    for path in ("/livez", "/readyz", "/metrics"):
        assert pressed.probe(path).status == 200
    assert pressed.admin_json("/config")


def test_pressure_that_is_gone_is_forgotten(pressed: Sidecar, app: Origin) -> None:
    app.forget()
    pressed.write(PRESSED.replace("MODE", "enforce").replace("0.0001%", "100%"))
    assert pressed.reload().status == 200
    eventually(lambda: fetch(pressed.inbound, "/any").status == 200)
    eventually(lambda: pressed.total("meshproxy_overload_level") == 0.0)


def test_the_shadow_sheds_nobody_and_counts_each(app: Origin) -> None:
    app.forget()
    with Sidecar.running(PRESSED.replace("MODE", "shadow"), app=app.address) as running:
        eventually(lambda: running.total("meshproxy_overload_level") == 3.0)
        with Client(running.inbound) as client:
            assert [client.ask("GET", "/any").status for _ in range(5)] == [200] * 5
        assert running.total("meshproxy_shadow_total", policy="overload") == 5
        assert running.samples("meshproxy_shed_total") == []


def crowd(sidecar: Sidecar, size: int) -> Counter[int]:
    """So many requests at once, each on a connection of its own."""
    clients = [Client(sidecar.inbound) for _ in range(size)]
    try:
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        return Counter(client.response().status for client in clients)
    finally:
        for client in clients:
            client.close()


def test_a_concurrency_limit_in_the_shadow_counts_what_it_would_refuse(app: Origin) -> None:
    here = threading.Barrier(4, timeout=10.0)

    def together(peer: Conversation) -> None:
        while peer.request() is not None:
            here.wait()
            peer.send(reply())

    app.forget(together)
    with Sidecar.running(TRIED_OUT, app=app.address) as running:
        assert crowd(running, 4) == {200: 4}
        assert running.total("meshproxy_shadow_total", policy="concurrency") == 3
    app.forget()


def test_an_adaptive_limit_refuses_what_is_too_much_and_grows_with_use(app: Origin) -> None:
    go_on = threading.Event()

    def held_back(peer: Conversation) -> None:
        while peer.request() is not None:
            go_on.wait(10.0)
            peer.send(reply())

    app.forget(held_back)
    with Sidecar.running(ADAPTIVE, app=app.address) as running:
        answers: Counter[int] = Counter()
        caller = threading.Thread(target=lambda: answers.update(crowd(running, 6)))
        caller.start()
        eventually(lambda: running.total("meshproxy_shed_total", why="concurrency") == 4)
        assert running.total("meshproxy_concurrency_limit") == 2
        go_on.set()
        caller.join(10.0)
        assert answers == {200: 2, 503: 4}
        app.forget(answering(reply()))

        def grown() -> bool:
            crowd(running, 20)
            return running.total("meshproxy_concurrency_limit") > 2

        eventually(grown, within=20.0, what="a higher limit")
    app.forget()
