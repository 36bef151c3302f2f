"""What one client may take: time for a head, idle time, connections, and work ahead of its turn.

And who may speak for another: only a peer that the file trusts.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest

from .harness import Client, Conversation, Origin, Sidecar, eventually, fetch, lasting, reply
from .harness.client import request

CONFIG = """
inbound: {listen: <inbound>, app: http://<app>, idle_timeout: 10s}
limits: {header_bytes: 2KiB, headers: 20, uri_bytes: 512B, connections: 20,
         head_timeout: 500ms, keep_alive: 700ms}
"""
TRUSTING = """
inbound:
  listen: <inbound>
  app: http://<app>
  rate_limits: [{limit: 1/m, burst: 2, per: [ip]}]
trust: {forwarded_from: [127.0.0.0/8], hops: 1}
"""


@pytest.fixture(scope="module")
def trusting(app: Origin) -> Iterator[Sidecar]:
    with Sidecar.running(TRUSTING, app=app.address) as running:
        yield running


def test_a_head_that_never_ends_is_given_up(sidecar: Sidecar, origin: Origin) -> None:
    with Client(sidecar.inbound) as client, lasting(0.5, 1.0):
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        answer = client.response()
        assert (answer.status, answer.get("x-meshproxy-reason")) == (408, "SI")
        assert client.closed_by_peer()
    assert origin.received == 0


def test_dripping_bytes_buys_no_time(sidecar: Sidecar, origin: Origin) -> None:
    over = threading.Event()

    def drip(client: Client) -> None:
        try:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
            while not over.wait(0.05):
                client.send(b"x")
        except OSError:
            pass  # it was closed, which is what is tested

    with Client(sidecar.inbound) as client:
        dripper = threading.Thread(target=drip, args=(client,))
        with lasting(0.5, 1.0):
            dripper.start()
            assert client.response().status == 408
        over.set()
        dripper.join()


def test_an_idle_client_is_closed_in_time(sidecar: Sidecar, origin: Origin) -> None:
    with Client(sidecar.inbound) as client:
        assert client.ask("GET", "/").status == 200
        with lasting(0.7, 1.0):
            assert client.closed_by_peer()


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/" + "a" * 600, {}, 414),
        ("/", {"X-Large": "a" * 3000}, 431),
        ("/", {f"X-{i}": "a" for i in range(30)}, 431),
    ],
)
def test_sizes_are_bounded(
    sidecar: Sidecar, origin: Origin, target: str, headers: dict[str, str], status: int
) -> None:
    answer = fetch(sidecar.inbound, target, headers=headers)
    assert (answer.status, answer.get("x-meshproxy-reason")) == (status, "IH")
    assert origin.received == 0


def test_connections_are_bounded(sidecar: Sidecar, origin: Origin) -> None:
    eventually(lambda: sidecar.total("meshproxy_downstream_connections") == 0)
    clients = [Client(sidecar.inbound) for _ in range(20)]
    try:
        assert {client.ask("GET", "/").status for client in clients} == {200}
        answer = fetch(sidecar.inbound)
        assert (answer.status, answer.get("x-meshproxy-reason")) == (503, "UO")
        assert json.loads(answer.body)["rule"] == "limits.connections"
        assert sidecar.total("meshproxy_downstream_connections_refused_total") == 1
    finally:
        for client in clients:
            client.close()
    eventually(lambda: fetch(sidecar.inbound).status == 200, what="room again")


def test_requests_ahead_of_their_turn_wait_outside(sidecar: Sidecar, origin: Origin) -> None:
    release = threading.Event()

    def script(peer: Conversation) -> None:
        while (seen := peer.request()) is not None:
            if seen.target == "/first":
                assert release.wait(10)
            peer.send(reply(200, b""))

    origin.script = script
    sidecar.forget_peak()
    before, count = sidecar.rss(), 100_000
    with Client(sidecar.inbound) as client:
        flood = request("GET", "/first") + request("GET", "/next", {"X": "x" * 200}) * count
        sender = threading.Thread(target=client.send_pieces, args=([flood],))
        sender.start()
        origin.saw(1)
        time.sleep(0.5)  # it would take all it can get in this time
        assert sidecar.peak_rss() - before < 8 * 1024 * 1024
        assert len(origin.requests) == 1
        client.reset()
        release.set()
        sender.join()


def test_a_stranger_cannot_choose_its_address(sidecar: Sidecar, origin: Origin) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    fetch(sidecar.inbound, headers={**forged, "X-Forwarded-Host": "evil.test"})
    assert origin.last.get("x-forwarded-for") == "127.0.0.1"
    assert origin.last.get("x-forwarded-proto") == "http"
    assert origin.last.get("x-forwarded-host") == "service.test"


def test_a_trusted_peer_speaks_for_its_client(trusting: Sidecar, app: Origin) -> None:
    app.forget()
    statuses = []
    for address in ("203.0.113.1", "203.0.113.2"):
        headers = {"X-Forwarded-For": f"198.51.100.7, {address}", "X-Forwarded-Proto": "https"}
        statuses += [fetch(trusting.inbound, headers=headers).status for _ in range(3)]
    assert statuses == [200, 200, 429] * 2
    assert app.last.get("x-forwarded-for") == "198.51.100.7, 203.0.113.2, 127.0.0.1"
    assert app.last.get("x-forwarded-proto") == "https"
    app.forget()
