"""Many clients that stall, on real sockets: each is ended in its time, and the others are served.

Small versions of the trials that `make stalls` measures; the numbers in the names are those of
the fault catalog. Limits are short here, and nothing depends on how fast the machine is.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from .harness import Client, Conversation, Origin, Sidecar, eventually, fetch, reply
from .harness import sidecar as harness
from .harness.client import request
from .test_bodies import sending, sent_by, still, upload_head

MIB = 1024 * 1024
KIB = 1024
CONFIG = """
inbound: {listen: <inbound>, app: http://<app>, timeout: 60s, concurrency: off}
limits: {head_timeout: 1s, keep_alive: 60s, write_timeout: 60s, body_rate: off}
"""
SLOW_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "


class Drip:
    """Sends a piece on every connection every so often, from a thread, until the block ends."""

    def __init__(self, clients: list[Client], piece: bytes, every: float) -> None:
        self._clients, self._piece, self._every = clients, piece, every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._every):
            for client in self._clients:
                client.send_pieces([self._piece])


def crowd(stack: ExitStack, sidecar: Sidecar, count: int, first: bytes) -> list[Client]:
    """So many connections that have sent the same bytes."""
    clients = [
        stack.enter_context(Client(sidecar.inbound, timeout=20, receive_buffer=4096))
        for _ in range(count)
    ]
    for client in clients:
        client.send(first)
    return clients


def connected(sidecar: Sidecar) -> float:
    return sidecar.total("meshproxy_downstream_connections")


def upstream_connections(sidecar: Sidecar) -> float:
    return sidecar.total("meshproxy_upstream_connections")


def test_f35_slow_heads_are_given_up_and_others_are_served(
    sidecar: Sidecar, origin: Origin
) -> None:
    with ExitStack() as stack:
        slow = crowd(stack, sidecar, 50, SLOW_HEAD)
        with Drip(slow, b"x", 0.1):
            assert fetch(sidecar.inbound).status == 200
            answers = [client.response() for client in slow]
            assert fetch(sidecar.inbound).status == 200
        assert {(one.status, one.get("x-meshproxy-reason")) for one in answers} == {(408, "SI")}
        assert len(origin.requests) == 2


def test_f36_slow_readers_cost_little_and_hold_back_the_origin(
    sidecar: Sidecar, origin: Origin
) -> None:
    count, size = 40, 50 * MIB
    fetch(sidecar.inbound)
    origin.script = sending(size)
    before = sidecar.rss()
    with ExitStack() as stack:
        slow = crowd(stack, sidecar, count, request("GET", "/"))
        for client in slow:
            assert client.reader.response_head().status == 200
        assert still(lambda: sent_by(origin)) < count * size / 2, "nothing held the origin back"
        each = (sidecar.rss() - before) / count
        origin.script = lambda peer: peer.send(reply()) if peer.request() else None
        assert fetch(sidecar.inbound).status == 200
    assert each < 128 * KIB + MIB / count, f"{each / KIB:.0f} KiB for each"


def test_f36_little_is_fetched_for_who_takes_nothing(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = sending(50 * MIB)
    with ExitStack() as stack:
        slow = crowd(stack, sidecar, 5, request("GET", "/fetched"))
        for client in slow:
            client.reader.response_head()
        still(lambda: sent_by(origin))
    lines = eventually(lambda: logged_of(sidecar, "/fetched", 5), what="the log")
    assert max(line["bytes_out"] for line in lines) < MIB


def logged_of(sidecar: Sidecar, path: str, count: int) -> list[dict[str, Any]]:
    """The access lines of a path, once there are so many."""
    lines = [line for line in sidecar.log_lines() if line.get("path") == path]
    return lines if len(lines) >= count else []


def test_f36_who_takes_nothing_is_cut_off(app: Origin) -> None:
    config = CONFIG.replace("write_timeout: 60s", "write_timeout: 500ms")
    app.forget(sending(50 * MIB))
    with Sidecar.running(config, app=app.address) as sidecar, ExitStack() as stack:
        stuck = crowd(stack, sidecar, 5, request("GET", "/"))
        for client in stuck:
            client.reader.response_head()
        eventually(lambda: connected(sidecar) == 0, what="room again")
        eventually(lambda: not upstream_connections(sidecar), what="the end of the attempts")
        lines = eventually(lambda: logged_of(sidecar, "/", 5), what="the log")
        assert {"SI" in line["reason"] for line in lines} == {True}
    app.forget()


class Uploads:
    """What became of four kinds of uploads after the window over which a rate is taken."""

    def __init__(self, sidecar: Sidecar) -> None:
        with ExitStack() as stack:
            slow = crowd(stack, sidecar, 5, upload_head(50 * MIB))
            brisk = crowd(stack, sidecar, 2, upload_head(50 * MIB))
            blocked = crowd(stack, sidecar, 1, upload_head(50 * MIB).replace(b" / ", b" /stuck "))
            with Drip(slow, b"x" * 10, 0.1), Drip(brisk, b"x" * 400, 0.1):
                sender = threading.Thread(
                    target=blocked[0].send_pieces, args=([b"x" * (50 * MIB)],)
                )
                sender.start()
                self.slow = [client.response() for client in slow]
                self.slow_closed = [client.closed_by_peer() for client in slow]
                self.beside = fetch(sidecar.inbound).status
                time.sleep(1.0)  # the others' windows began when these did, and are over by now
            eventually(lambda: connected(sidecar) <= 3, what="the end of those that were told")
            self.connected = connected(sidecar)
            blocked[0].half_close()  # wakes the sender
            sender.join()


@pytest.fixture(scope="module")
def uploads() -> Iterator[Uploads]:
    config = CONFIG.replace("body_rate: off", "body_rate: 1KiB/s")
    over = threading.Event()

    def script(peer: Conversation) -> None:
        seen = peer.head()
        if seen is None:
            return
        if seen.method == "GET":
            peer.send(reply())
        elif seen.target == "/stuck":
            over.wait(60)
        else:
            peer.until_left()

    with (
        Origin.running(script) as app,
        Sidecar.running(config, app=app.address) as running,
    ):
        yield Uploads(running)
        over.set()


@pytest.mark.slow
def test_f37_slow_uploads_are_told_and_closed(uploads: Uploads) -> None:
    told = {(one.status, one.get("x-meshproxy-reason")) for one in uploads.slow}
    assert told == {(408, "SI")}
    assert all(uploads.slow_closed)


@pytest.mark.slow
def test_f37_uploads_that_are_fast_enough_or_held_back_go_on(uploads: Uploads) -> None:
    assert uploads.connected == 3


@pytest.mark.slow
def test_f37_others_are_served_beside_slow_uploads(uploads: Uploads) -> None:
    assert uploads.beside == 200


def test_f38_idle_clients_cost_little_and_stay(sidecar: Sidecar, origin: Origin) -> None:
    count = 1000
    fetch(sidecar.inbound)
    before = sidecar.rss()
    with ExitStack() as stack:
        idle = crowd(stack, sidecar, count, request("GET", "/"))
        assert Counter(client.response().status for client in idle) == {200: count}
        each = (sidecar.rss() - before) / count
        assert fetch(sidecar.inbound).status == 200
        assert connected(sidecar) == count
        assert {client.ask("GET", "/").status for client in idle[::100]} == {200}
    assert each < 10 * KIB, f"{each / KIB:.1f} KiB for each"


@pytest.fixture
def cramped(app: Origin, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sidecar]:
    """A sidecar that may open 128 files, and cannot raise that."""
    usual = harness.command
    shell = ("sh", "-c", 'ulimit -n 128 && exec "$@"', "sh")
    monkeypatch.setattr(harness, "command", lambda *given: [*shell, *usual(*given)])
    app.forget()
    with Sidecar.running(CONFIG, app=app.address) as running:
        yield running
    app.forget()


def test_f39_too_many_clients_for_the_descriptors_are_told(cramped: Sidecar) -> None:
    with ExitStack() as stack:
        clients = crowd(stack, cramped, 300, request("GET", "/"))
        got = Counter(client.response().status for client in clients)
        assert got[200] >= 40
        assert got[200] + got[503] == 300
        assert cramped.probe("/readyz").status == 200
        assert cramped.total("meshproxy_downstream_connections_refused_total") == got[503]
        assert cramped.admin_json("/info")
    eventually(lambda: fetch(cramped.inbound).status == 200, within=1.0, what="room again")


def test_f39_running_out_of_room_does_not_flood_the_log(cramped: Sidecar) -> None:
    began = time.monotonic()
    with ExitStack() as stack:
        for client in crowd(stack, cramped, 300, request("GET", "/")):
            client.response()
    seconds = time.monotonic() - began
    told = eventually(
        lambda: [one for one in cramped.log_lines() if one["event"] == "connections_full"],
        what="the log line",
    )
    assert len(told) <= 1 + seconds
    assert told[0]["limit"] == "limits.connections"


def test_f39_the_log_says_at_the_start_that_there_is_less_room(cramped: Sidecar) -> None:
    told = [one for one in cramped.log_lines() if one["event"] == "connections_capped"]
    assert [(one["wanted"], one["most"]) for one in told] == [(10_000, 48)]
