"""What one client may take: time for a head, idle time, connections, and work ahead of its turn.

And who may speak for another: only a peer that the file trusts.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from .harness import Client, Conversation, Origin, Sidecar, eventually, fetch, lasting, reply
from .harness.client import request
from .harness.ports import Address

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


SHARED = """
inbound: {listen: <inbound>, app: http://<app>}
outbound: {listen: <outbound>, services: {users: {endpoints: [<app>]}}}
limits: {connections: 6, connections_per_client: 4}
"""


@pytest.fixture
def shared(app: Origin) -> Iterator[Sidecar]:
    """A sidecar with both directions and little room."""
    app.forget()
    with Sidecar.running(SHARED, app=app.address) as running:
        yield running
    app.forget()


def refused_by(sidecar: Sidecar, where: Address, source: str = "127.0.0.1") -> str | None:
    """The limit that turns a new client away; None when it is served."""
    with Client(where, source=source) as client:
        answer = client.ask("GET", "/", {"Host": "users"})
        if answer.status == 200:
            return None
        assert (answer.status, answer.get("x-meshproxy-reason")) == (503, "UO")
        assert answer.get("connection") == "close"
        assert client.closed_by_peer()
        rule: str = json.loads(answer.body)["rule"]
        return rule


def test_one_client_cannot_take_all_connections(shared: Sidecar) -> None:
    with ExitStack() as stack:
        for _ in range(4):
            taken = stack.enter_context(Client(shared.inbound))
            assert taken.ask("GET", "/").status == 200
        assert refused_by(shared, shared.inbound) == "limits.connections_per_client"
        assert refused_by(shared, shared.inbound, "127.0.0.2") is None
    eventually(lambda: refused_by(shared, shared.inbound) is None, what="room again")


def test_all_listeners_share_the_room(shared: Sidecar) -> None:
    with ExitStack() as stack:
        for number in range(6):
            where = shared.inbound if number % 2 else shared.outbound
            taken = stack.enter_context(Client(where, source=f"127.0.0.{number + 1}"))
            assert taken.ask("GET", "/", {"Host": "users"}).status == 200
        for where in (shared.inbound, shared.outbound):
            assert refused_by(shared, where, "127.0.0.9") == "limits.connections"
    eventually(lambda: refused_by(shared, shared.outbound) is None, what="room again")


UPLOAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"1\r\nx\r\n" * 100_000 + END, id="one-byte chunks"),
        pytest.param((b"1;" + b"e" * 200 + b"\r\nx\r\n") * 200 + END, id="extensions"),
        pytest.param(b"1\r\nx\r\n0\r\n" + b"X-T: y\r\n" * 2_000 + b"\r\n", id="trailers"),
        pytest.param(b"1\r\nx\r\n0\r\nX-T: " + b"y" * 20_000 + b"\r\n\r\n", id="a long trailer"),
        pytest.param(b"0" * 1_000 + b"1\r\nx\r\n" + END, id="zeros before a size"),
    ],
)
def test_what_surrounds_chunks_is_bounded(sidecar: Sidecar, origin: Origin, body: bytes) -> None:
    with Client(sidecar.inbound) as client:
        client.send_pieces([UPLOAD + body])
        answer = client.response()
        assert (answer.status, answer.get("x-meshproxy-reason")) == (400, "IH")
    assert not origin.requests, "the origin got a whole request"


def test_honest_chunks_are_no_flood(sidecar: Sidecar, origin: Origin) -> None:
    pieces = [b"line %d of a log\n" % number for number in range(20_000)]
    with Client(sidecar.inbound) as client:
        client.send(UPLOAD + b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces) + END)
        assert client.response().status == 200
    assert origin.last.body == b"".join(pieces)


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
