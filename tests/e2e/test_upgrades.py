"""How a request becomes a tunnel, and when it must not: RFC 9110 section 7.8, RFC 6455 section 4.

What is sent before the switch is agreed on (RFC 9931), what is stripped, what is refused.
"""

from __future__ import annotations

import pytest

from .harness import Client, Conversation, Origin, Sidecar, eventually
from .harness import reply as answer
from .upgrading import SWITCH, UPGRADE, ask, exactly, switching

CONFIG = "inbound: {listen: <inbound>, app: http://<app>, circuit_breaker: off}"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


def test_the_upgrade_is_asked_for_anew(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = switching(Conversation.until_left)
    with Client(sidecar.inbound) as client:
        client.send(ask(Connection="keep-alive, Upgrade"))
        head = client.response()
    assert (head.status, head.get("upgrade"), head.get("connection")) == (
        101,
        "websocket",
        "upgrade",
    )
    assert (origin.last.get("upgrade"), origin.last.get("connection")) == ("websocket", "upgrade")
    assert origin.last.get("sec-websocket-key") == UPGRADE["Sec-WebSocket-Key"]


@pytest.mark.parametrize("status", [200, 401, 404])
def test_bytes_sent_early_die_with_a_refusal(sidecar: Sidecar, origin: Origin, status: int) -> None:
    """RFC 9931: they are neither frames nor a request, for whoever refuses may read them so."""

    def refuse(peer: Conversation) -> None:
        head = peer.head()
        assert head is not None
        peer.send(answer(status))
        peer.until_left()
        received.append(peer.received - len(head.head))

    received: list[int] = []
    origin.script = refuse
    with Client(sidecar.inbound) as client:
        client.send(ask() + NEXT)
        assert client.response().status == status
        assert client.closed_by_peer()
    origin.conversations[0].closed_by_peer.wait(5)
    eventually(lambda: received, what="the end of the connection")
    assert received == [0]
    assert len(origin.requests) == 1


def test_bytes_sent_early_follow_the_switch(sidecar: Sidecar, origin: Origin) -> None:
    def script(peer: Conversation) -> None:
        head = peer.head()
        assert head is not None
        early.append(peer.received - len(head.head))
        peer.send(SWITCH)
        early.append(peer.reader.take(100))

    early: list[object] = []
    origin.script = script
    with Client(sidecar.inbound) as client:
        client.send(ask() + b"early bird")
        assert client.response().status == 101
        eventually(lambda: len(early) == 2, what="what was sent early")
    assert early == [0, b"early bird"]


def test_bytes_behind_the_switch_reach_the_client(sidecar: Sidecar, origin: Origin) -> None:
    def script(peer: Conversation) -> None:
        peer.head()
        peer.send(SWITCH + b"first words")
        peer.until_left()

    origin.script = script
    with Client(sidecar.inbound) as client:
        client.send(ask())
        assert client.response().status == 101
        assert exactly(client, 11) == b"first words"


def test_both_heads_may_come_byte_by_byte(sidecar: Sidecar, origin: Origin) -> None:
    def script(peer: Conversation) -> None:
        peer.head()
        peer.send_bytewise(SWITCH + b"first")
        peer.until_left()

    origin.script = script
    with Client(sidecar.inbound) as client:
        client.send_bytewise(ask())
        assert client.response().status == 101
        assert exactly(client, 5) == b"first"


def test_an_interim_answer_may_come_before_the_switch(sidecar: Sidecar, origin: Origin) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    origin.script = switching(Conversation.until_left, before=hint)
    with Client(sidecar.inbound) as client:
        client.send(ask())
        head = client.response()
    assert ([each.status for each in head.interim], head.status) == ([103], 101)


STRIPPED = {
    "h2c": ask(Upgrade="h2c", Connection="Upgrade, HTTP2-Settings", HTTP2_Settings="AAMAAABk"),
    "TLS": ask(Upgrade="TLS/1.0"),
    "a list": ask(Upgrade="h2c, websocket"),
    "another version": ask(Upgrade="websocket/14"),
    "no connection option": ask(Connection="keep-alive"),
    "no connection field": ask(Connection=None),
    "HTTP/1.0": ask(version="1.0"),
    "not GET": ask(method="POST"),
}


@pytest.mark.parametrize("data", STRIPPED.values(), ids=STRIPPED)
def test_any_other_upgrade_is_stripped(sidecar: Sidecar, origin: Origin, data: bytes) -> None:
    with Client(sidecar.inbound) as client:
        client.send(data)
        assert client.response().status == 200
    names = {name.lower() for name in origin.last.names}
    assert not names & {b"upgrade", b"http2-settings"}
    assert "upgrade" not in (origin.last.get("connection") or "").lower()


def test_an_upgrade_with_a_body_is_refused(sidecar: Sidecar, origin: Origin) -> None:
    with Client(sidecar.inbound) as client:
        client.send(ask(Content_Length="5") + b"hello")
        assert client.response().status == 400
        assert client.closed_by_peer()
    assert origin.requests == []


BAD_SWITCHES = {
    "another protocol": SWITCH.replace(b"websocket", b"h2c"),
    "two protocols": SWITCH.replace(b"websocket", b"websocket, h2c"),
    "no protocol": SWITCH.replace(b"Upgrade: websocket\r\n", b""),
    "with a length": SWITCH.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nhello"),
    "with chunks": SWITCH.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("data", BAD_SWITCHES.values(), ids=BAD_SWITCHES)
def test_a_switch_that_nobody_asked_for_fails(
    sidecar: Sidecar, origin: Origin, data: bytes
) -> None:
    def script(peer: Conversation) -> None:
        peer.head()
        peer.send(data)
        peer.until_left()

    origin.script = script
    with Client(sidecar.inbound) as client:
        client.send(ask())
        refused = client.response()
        assert (refused.status, refused.get("x-meshproxy-reason")) == (502, "UPE")
    assert origin.conversations[0].closed_by_peer.wait(5)
