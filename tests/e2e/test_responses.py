"""What a client receives is what the origin answered: status, reason, fields, body, framing.

RFC 9110 sections 9.3.2, 10.1.1 and 15, RFC 9112 section 6.3.
"""

from __future__ import annotations

import threading

import pytest

from .harness import Client, Conversation, Origin, Sidecar, answering, fetch, reply
from .harness.client import request
from .test_requests import CONFIG as CONFIG

LATER = 10.0


def test_fields_keep_order_case_and_duplicates(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-ONE: 1\r\nset-cookie: b=2\r\nServer: me\r\n"
        b"Date: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Length: 0\r\nx-two: \xff\r\n\r\n"
    )
    answer = fetch(sidecar.inbound)
    assert [
        name for name in answer.names if name.lower() in (b"set-cookie", b"x-one", b"x-two")
    ] == [b"Set-Cookie", b"X-ONE", b"set-cookie", b"x-two"]
    assert answer.all("set-cookie") == ["a=1", "b=2"]
    assert answer.get("server") == "me"
    assert answer.get("date") == "Mon, 01 Jan 2024 00:00:00 GMT"


def test_fields_of_one_hop_are_removed(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=9"
        b"\r\nProxy-Connection: close\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi"
    )
    answer = fetch(sidecar.inbound)
    for name in ("x-mine", "keep-alive", "proxy-connection", "upgrade"):
        assert answer.all(name) == [], name
    assert answer.body == b"hi"


@pytest.mark.parametrize(
    "line", ["299 Very Fine, Thanks!", "404 Nothing Here", "599 Odd", "418 I'm a teapot"]
)
def test_the_status_line_is_kept(sidecar: Sidecar, origin: Origin, line: str) -> None:
    status, _, reason = line.partition(" ")
    origin.script = answering(reply(int(status), reason=reason))
    assert fetch(sidecar.inbound).start == f"HTTP/1.1 {line}".encode()


def test_an_empty_reason_is_no_fault(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi")
    assert fetch(sidecar.inbound).body == b"hi"


def test_a_reason_with_control_characters_is_not_passed_on(
    sidecar: Sidecar, origin: Origin
) -> None:
    origin.script = answering(b"HTTP/1.1 200 O\x01K\x1b\r\nContent-Length: 2\r\n\r\nhi")
    start = fetch(sidecar.inbound).start
    assert all(0x20 <= byte < 0x7F for byte in start), start


def test_head_has_the_length_and_no_body(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(
        lambda seen: (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
            + (b"" if seen.method == "HEAD" else b"hello")
        )
    )
    with Client(sidecar.inbound) as client:
        assert client.ask("HEAD", "/").get("content-length") == "5"
        assert client.ask("GET", "/").body == b"hello"
        assert client.ask("HEAD", "/").body == b""
    assert len(origin.conversations) == 1


def test_head_of_a_chunked_answer_has_no_body(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with Client(sidecar.inbound) as client:
        for _ in range(2):
            assert client.ask("HEAD", "/").status == 200


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body(sidecar: Sidecar, origin: Origin, status: int) -> None:
    origin.script = answering(f"HTTP/1.1 {status} No\r\nETag: x\r\n\r\n".encode())
    with Client(sidecar.inbound) as client:
        for _ in range(3):
            answer = client.ask("GET", "/")
            assert (answer.status, answer.get("etag")) == (status, "x")
            assert answer.all("transfer-encoding") == []
    assert len(origin.conversations) == 1


def test_not_modified_may_tell_a_length(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(b"HTTP/1.1 304 No\r\nContent-Length: 12\r\n\r\n")
    with Client(sidecar.inbound) as client:
        for _ in range(3):
            assert client.ask("GET", "/").status == 304


def test_early_hints_come_before_the_answer(sidecar: Sidecar, origin: Origin) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
    origin.script = answering(hint + hint + reply())
    answer = fetch(sidecar.inbound)
    assert answer.status == 200
    assert [early.status for early in answer.interim] == [103, 103]
    assert answer.interim[0].get("link") == "</style.css>"


def test_an_old_client_is_spared_interim_answers(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(b"HTTP/1.1 103 Early Hints\r\n\r\n" + reply())
    with Client(sidecar.inbound) as client:
        client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        answer = client.response()
    assert (answer.status, answer.interim) == (200, [])


def test_a_chunked_answer_stays_chunked(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n world\r\n"
        b"0\r\nX-Trailer: 1\r\n\r\n"
    )
    with Client(sidecar.inbound) as client:
        for _ in range(3):
            answer = client.ask("GET", "/")
            assert (answer.framing, answer.body) == ("chunked", b"hello world")
    assert len(origin.conversations) == 1


def test_an_old_client_gets_a_chunked_answer_until_close(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
    with Client(sidecar.inbound) as client:
        client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        answer = client.response()
    assert (answer.framing, answer.body) == ("close", b"hello")


def until_close(peer: Conversation) -> None:
    while peer.request() is not None:
        peer.send(b"HTTP/1.1 200 OK\r\nX-Kind: endless\r\n\r\nhello ")
        peer.send(b"world")
        peer.finish()


def test_an_answer_until_close_becomes_chunked(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = until_close
    with Client(sidecar.inbound) as client:
        for _ in range(2):
            answer = client.ask("GET", "/")
            assert (answer.framing, answer.body) == ("chunked", b"hello world")


def test_an_old_client_gets_it_until_close(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = until_close
    with Client(sidecar.inbound) as client:
        client.send(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        answer = client.response()
    assert (answer.framing, answer.body) == ("close", b"hello world")


def test_an_old_origin_is_understood(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    with Client(sidecar.inbound) as client:
        for _ in range(3):
            answer = client.ask("GET", "/")
            assert (answer.start[:8], answer.body) == (b"HTTP/1.1", b"hi")
    assert len(origin.conversations) == 3, "HTTP/1.0 closes unless it says otherwise"


def test_an_origin_that_closes_leaves_the_client_connected(
    sidecar: Sidecar, origin: Origin
) -> None:
    origin.script = answering(reply(headers={"Connection": "close"}))
    with Client(sidecar.inbound) as client:
        for _ in range(3):
            answer = client.ask("GET", "/")
            assert answer.all("connection") in ([], ["keep-alive"])
    assert len(origin.conversations) == 3


def test_an_answer_after_an_early_one_is_its_own(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(lambda seen: reply(body=seen.target.encode()))
    with Client(sidecar.inbound) as client:
        client.send(request("GET", "/one") + request("GET", "/two") + request("GET", "/three"))
        assert [client.response().body for _ in range(3)] == [b"/one", b"/two", b"/three"]


def test_a_body_arrives_as_the_origin_writes_it(sidecar: Sidecar, origin: Origin) -> None:
    seen = threading.Event()

    def script(peer: Conversation) -> None:
        if peer.request() is not None:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
            assert seen.wait(LATER)
            peer.send(b"after")
            peer.until_left()

    origin.script = script
    with Client(sidecar.inbound) as client:
        client.send(request("GET", "/"))
        client.reader.response_head()
        assert client.reader.take(5) == b"first"
        seen.set()
        assert client.reader.take(5) == b"after"


def test_answers_arrive_whole_however_they_were_cut(sidecar: Sidecar, origin: Origin) -> None:
    whole = (
        b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    )

    def script(peer: Conversation) -> None:
        while (asked := peer.request()) is not None:
            at = int(asked.target[1:])
            peer.send(whole[:at])
            peer.send(whole[at:])

    origin.script = script
    with Client(sidecar.inbound) as client:
        for at in range(1, len(whole)):
            assert client.ask("GET", f"/{at}").body == b"hello world"
        origin.script = script
    assert len(origin.conversations) == 1
