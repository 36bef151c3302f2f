"""Server-sent events arrive one by one, for as long as they come.

No clock says what "at once" is: the origin sends an event only after the client has told that
it holds the one before, so a proxy that waits for more would wait for ever.
"""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .harness import Client, Conversation, Message, Origin, Sidecar, TruncatedError, eventually
from .harness.sidecar import ROOT

CONFIG = """
inbound: {listen: <inbound>, app: http://<app>, timeout: 300ms}
outbound:
  listen: <outbound>
  defaults: {timeout: 300ms, retry: {attempts: 2, per_try_timeout: 200ms}}
  services: {prices: {endpoints: [<app>], prefix: /prices}}
"""
EVENTS = 20
PATIENCE = 10
HEADS = {
    "chunked": b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n",
    "until it closes": b"Content-Type: text/event-stream\r\n",
    "with a charset": b"content-type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\n",
    "in capitals": b"CONTENT-TYPE:TEXT/EVENT-STREAM\r\nTransfer-Encoding: chunked\r\n",
}
ANSWER = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n"

Receipts = queue.Queue[Any]


def chunk(text: str) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text.encode()), text.encode())


def turn_by_turn(receipts: Receipts, head: bytes = HEADS["chunked"]) -> Callable[..., None]:
    """An origin that waits for a receipt of each event before it sends the next."""
    framed = b"chunked" in head

    def script(peer: Conversation) -> None:
        if peer.head() is None:
            return
        peer.send(ANSWER + head + b"\r\n")
        for number in range(EVENTS):
            event = f"id: {number}\ndata: event {number}\n\n"
            peer.send(chunk(event) if framed else event.encode())
            assert receipts.get(timeout=PATIENCE) == number
        peer.send(b"0\r\n\r\n" if framed else b"")

    return script


@pytest.fixture(params=["inbound", "outbound"])
def side(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(client: Client) -> Message:
    client.send(b"GET /prices HTTP/1.1\r\nHost: prices\r\nAccept: text/event-stream\r\n\r\n")
    return client.reader.response_head()


def heard(client: Client, text: bytes) -> bytes:
    """Read until this has come, and nothing is behind it."""
    got = b""
    while text not in got:
        piece = client.reader.take(65536)
        assert piece, got
        got += piece
    return got


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_each_event_comes_at_once(side: str, sidecar: Sidecar, origin: Origin, head: bytes) -> None:
    receipts: Receipts = queue.Queue()
    origin.script = turn_by_turn(receipts, head)
    with Client(getattr(sidecar, side)) as client:
        answer = ask(client)
        assert (answer.status, answer.get("cache-control")) == (200, "no-store")
        for number in range(EVENTS):
            heard(client, f"data: event {number}\n\n".encode())
            receipts.put(number)


def test_an_event_may_come_byte_by_byte(side: str, sidecar: Sidecar, origin: Origin) -> None:
    receipts: Receipts = queue.Queue()

    def script(peer: Conversation) -> None:
        peer.head()
        peer.send(ANSWER + HEADS["until it closes"] + b"\r\n")
        for byte in b"data: slowly\n\n":
            peer.send(bytes([byte]))
            assert receipts.get(timeout=PATIENCE) == byte

    origin.script = script
    with Client(getattr(sidecar, side)) as client:
        ask(client)
        for byte in b"data: slowly\n\n":
            heard(client, bytes([byte]))
            receipts.put(byte)


def test_a_stream_outlives_the_timeout_of_a_call(
    side: str, sidecar: Sidecar, origin: Origin
) -> None:
    def script(peer: Conversation) -> None:
        peer.head()
        peer.send(ANSWER + HEADS["chunked"] + b"\r\n" + chunk("data: first\n\n"))
        time.sleep(0.7)  # twice what a call may take, in silence
        peer.send(chunk("data: last\n\n") + b"0\r\n\r\n")

    origin.script = script
    with Client(getattr(sidecar, side)) as client:
        ask(client)
        assert b"first" in heard(client, b"last")
    assert len(origin.requests) == 1, "it was tried again"


def test_what_is_no_stream_of_events_ends_in_time(
    side: str, sidecar: Sidecar, origin: Origin
) -> None:
    def script(peer: Conversation) -> None:
        peer.head()
        peer.send(ANSWER + HEADS["chunked"].replace(b"event-stream", b"plain") + b"\r\n")
        peer.send(chunk("data: first\n\n"))
        peer.until_left()

    origin.script = script
    with Client(getattr(sidecar, side)) as client:
        client.send(b"GET /prices HTTP/1.1\r\nHost: prices\r\n\r\n")
        with pytest.raises(TruncatedError):
            client.response()


def test_a_client_that_leaves_ends_the_stream(side: str, sidecar: Sidecar, origin: Origin) -> None:
    def script(peer: Conversation) -> None:
        peer.head()
        peer.send(ANSWER + HEADS["chunked"] + b"\r\n" + chunk("data: first\n\n"))
        peer.until_left()

    origin.script = script
    with Client(getattr(sidecar, side)) as client:
        ask(client)
        heard(client, b"first")
    assert origin.conversations[0].closed_by_peer.wait(PATIENCE)


def test_a_stream_survives_a_reload(side: str, sidecar: Sidecar, origin: Origin) -> None:
    receipts: Receipts = queue.Queue()
    origin.script = turn_by_turn(receipts)
    with Client(getattr(sidecar, side)) as client:
        ask(client)
        for number in range(EVENTS):
            heard(client, f"data: event {number}\n\n".encode())
            if number % 7 == 3:
                sidecar.write(CONFIG.replace("300ms", f"{400 + number}ms"))
                assert sidecar.reload().status == 200
            receipts.put(number)
    sidecar.write(CONFIG)
    assert sidecar.reload().status == 200


# ---- the client that browsers have, as npm ships it


@contextmanager
def event_source(url: str) -> Iterator[Callable[[], dict[str, Any]]]:
    """npm's EventSource, reading from there; gives the next thing that it tells."""
    node = shutil.which("node")
    packages = ROOT / ".clients" / "npm"
    if node is None or not (packages / "node_modules" / "eventsource").is_dir():
        pytest.skip("node or npm's eventsource is missing: apt-get install npm; sh .ci/servers")
    script = Path(__file__).parents[1] / "clients" / "events.cjs"
    process = subprocess.Popen(
        [node, str(script), str(packages), url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    told: queue.Queue[dict[str, Any]] = queue.Queue()

    def listen() -> None:
        for line in process.stdout or ():
            told.put(json.loads(line))

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        yield lambda: told.get(timeout=PATIENCE)
    finally:
        process.kill()
        listener.join(PATIENCE)
        process.communicate()


@pytest.mark.server("npm")
def test_an_event_source_has_each_event_at_once(
    side: str, sidecar: Sidecar, origin: Origin
) -> None:
    receipts: Receipts = queue.Queue()
    origin.script = turn_by_turn(receipts)
    host, port = getattr(sidecar, side)
    with event_source(f"http://{host}:{port}/prices") as told:
        assert told() == {"type": "open"}
        for number in range(EVENTS):
            event = told()
            assert event == {"type": "message", "data": f"event {number}", "id": str(number)}
            receipts.put(number)


@pytest.mark.server("npm")
def test_an_event_source_resumes_where_it_was(sidecar: Sidecar, origin: Origin) -> None:
    def script(peer: Conversation) -> None:
        head = peer.head()
        if head is None:
            return
        number = int(head.get("last-event-id") or 0) + 1
        peer.send(ANSWER + HEADS["chunked"] + b"\r\n")
        peer.send(chunk(f"retry: 10\nid: {number}\nevent: price\ndata: {number * 100}\n\n"))
        peer.send(b"0\r\n\r\n")

    origin.script = script
    host, port = sidecar.inbound
    prices: list[dict[str, Any]] = []
    with event_source(f"http://{host}:{port}/prices") as told:
        while len(prices) < 3:
            event = told()
            if event["type"] == "price":
                prices.append(event)
        eventually(lambda: len(origin.requests) >= 3, what="three requests")
    assert [(one["id"], one["data"]) for one in prices] == [
        ("1", "100"),
        ("2", "200"),
        ("3", "300"),
    ]
