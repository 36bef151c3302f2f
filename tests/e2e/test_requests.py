"""What an origin receives is what the client sent, less what belongs to one hop, plus our own.

RFC 9110 section 7.6 (forwarding), RFC 9112 sections 3.2 and 7 (targets, chunks).
"""

from __future__ import annotations

import pytest

from .harness import Client, Message, Origin, Sidecar, answering, fetch, reply
from .harness.client import request

CONFIG = """
inbound:
  listen: <inbound>
  app: http://<app>
"""


def received(sidecar: Sidecar, origin: Origin, data: bytes) -> Message:
    """What the origin got of a request that is answered with 200."""
    with Client(sidecar.inbound) as client:
        client.send(data)
        assert client.response().status == 200
    return origin.last


def test_fields_keep_order_case_and_duplicates(sidecar: Sidecar, origin: Origin) -> None:
    lines = [
        b"X-One: 1",
        b"x-TWO: 2",
        b"X-One: 3",
        b"Cookie: a=b; c=d",
        b"X-Empty:",
        b"aCCept: */*",
    ]
    data = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"\r\n".join(lines) + b"\r\n\r\n"
    seen = received(sidecar, origin, data)
    sent = [tuple(part.strip() for part in line.split(b":", 1)) for line in lines]
    assert [pair for pair in seen.fields if pair in sent] == sent


def test_values_keep_their_bytes(sidecar: Sidecar, origin: Origin) -> None:
    data = b'GET / HTTP/1.1\r\nHost: a\r\nX-High: \xc3\xa9\xff\r\nX-Odd: a\tb  "c;d"\r\n\r\n'
    seen = dict(received(sidecar, origin, data).fields)
    assert seen[b"X-High"] == b"\xc3\xa9\xff"
    assert seen[b"X-Odd"] == b'a\tb  "c;d"'


@pytest.mark.parametrize(
    "target",
    ["/", "/a%20b/%C3%A9?x=1&y=%2f", "/a//b", "/?", "/a;b=c?d=[e]|f", "/*", "/a?b/../c=%00"],
)
def test_a_target_is_forwarded_as_it_came(sidecar: Sidecar, origin: Origin, target: str) -> None:
    assert fetch(sidecar.inbound, target).status == 200
    assert origin.last.target == target


@pytest.mark.parametrize(
    ("target", "judged"), [("/a/./b/../c?q", "/a/c?q"), ("/%61%7e", "/a~"), ("/%c3%a9", "/%C3%A9")]
)
def test_a_path_is_forwarded_in_the_form_that_was_judged(
    sidecar: Sidecar, origin: Origin, target: str, judged: str
) -> None:
    assert fetch(sidecar.inbound, target).status == 200
    assert origin.last.target == judged


@pytest.mark.parametrize("target", ["/a%00", "/a%2fb", "/a%5Cb", "/a/..;/b", "/%", "/../a"])
def test_a_path_of_two_meanings_is_refused(sidecar: Sidecar, origin: Origin, target: str) -> None:
    assert fetch(sidecar.inbound, target).status == 400
    assert origin.requests == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_methods_pass(sidecar: Sidecar, origin: Origin, method: str) -> None:
    assert fetch(sidecar.inbound, "/", method).status == 200
    assert origin.last.method == method


def test_options_of_the_whole_server_passes(sidecar: Sidecar, origin: Origin) -> None:
    assert fetch(sidecar.inbound, "*", "OPTIONS").status == 200
    assert origin.last.target == "*"


def test_fields_of_one_hop_are_removed(sidecar: Sidecar, origin: Origin) -> None:
    seen = received(
        sidecar,
        origin,
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Mine , close\r\n"
        b"X-Mine: secret\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n"
        b"TE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nX-Kept: yes\r\n\r\n",
    )
    for name in ("x-mine", "keep-alive", "proxy-connection", "te", "upgrade", "http2-settings"):
        assert seen.all(name) == [], name
    assert "close" not in (seen.get("connection") or "")
    assert seen.get("x-kept") == "yes"


@pytest.mark.parametrize("name", ["Host", "Content-Length", "X-Forwarded-For", "X-Request-Id"])
def test_a_nominated_field_that_the_proxy_needs_is_never_lost(
    sidecar: Sidecar, origin: Origin, name: str
) -> None:
    with Client(sidecar.inbound) as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
            b"Connection: " + name.encode() + b"\r\n\r\nhi"
        )
        status = client.response().status
    if status == 400:
        assert origin.requests == []
    else:
        assert status == 200
        assert origin.last.body == b"hi"
        assert len(origin.last.all(name)) == 1


def test_what_the_proxy_adds(sidecar: Sidecar, origin: Origin) -> None:
    answer = fetch(sidecar.inbound, "/", headers={"Host": "shop.test:8080"})
    seen = origin.last
    assert seen.get("host") == "shop.test:8080"
    assert seen.get("x-forwarded-for") == "127.0.0.1"
    assert seen.get("x-forwarded-proto") == "http"
    assert seen.get("x-forwarded-host") == "shop.test:8080"
    assert (seen.get("via") or "").startswith("1.1 ")
    assert seen.get("x-meshproxy-attempt") == "1"
    assert seen.get("traceparent") is not None
    assert seen.get("x-request-id") == answer.get("x-request-id") is not None
    assert answer.get("server-timing") or answer.get("x-response-time")
    assert answer.all("x-meshproxy-reason") == []


def test_a_via_that_came_is_kept_before_ours(sidecar: Sidecar, origin: Origin) -> None:
    fetch(sidecar.inbound, "/", headers={"Via": "1.0 first"})
    values = ", ".join(origin.last.all("via")).split(", ")
    assert values[0] == "1.0 first"
    assert values[1].startswith("1.1 ")


def test_the_peer_ends_the_list_of_forwarders(sidecar: Sidecar, origin: Origin) -> None:
    fetch(sidecar.inbound, "/", headers={"X-Forwarded-For": "203.0.113.9"})
    values = ", ".join(origin.last.all("x-forwarded-for")).split(", ")
    assert values[-1] == "127.0.0.1"


def test_our_own_names_from_a_client_are_dropped(sidecar: Sidecar, origin: Origin) -> None:
    fetch(
        sidecar.inbound,
        "/",
        headers={"X-Meshproxy-Attempt": "9", "x-meshproxy-reason": "RL", "X-MESHPROXY-Any": "a"},
    )
    ours = [pair for pair in origin.last.fields if pair[0].lower().startswith(b"x-meshproxy-")]
    assert [(name.lower(), value) for name, value in ours] == [(b"x-meshproxy-attempt", b"1")]


def test_an_absolute_target_names_the_host(sidecar: Sidecar, origin: Origin) -> None:
    seen = received(
        sidecar, origin, b"GET http://real.test/path?q HTTP/1.1\r\nHost: other.test\r\n\r\n"
    )
    assert seen.get("host") == "real.test"
    assert seen.target == "/path?q"


def test_a_body_with_a_length_arrives_as_it_was(sidecar: Sidecar, origin: Origin) -> None:
    body = bytes(range(256)) * 400
    assert fetch(sidecar.inbound, "/", "POST", body=body).status == 200
    assert origin.last.body == body
    assert origin.last.framing == "length"


def test_a_length_is_written_anew(sidecar: Sidecar, origin: Origin) -> None:
    seen = received(sidecar, origin, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 002\r\n\r\nhi")
    assert seen.get("content-length") == "2"


def test_a_length_of_zero_is_kept(sidecar: Sidecar, origin: Origin) -> None:
    seen = received(sidecar, origin, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    assert seen.get("content-length") == "0"


def test_a_get_has_no_framing_added(sidecar: Sidecar, origin: Origin) -> None:
    fetch(sidecar.inbound, "/")
    assert origin.last.all("content-length") == origin.last.all("transfer-encoding") == []


CHUNKED = (
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;note=1\r\nhello\r\n001\r\n \r\n5\r\nworld\r\n0\r\nX-Trailer: 1\r\nHost: evil\r\n\r\n"
)


def test_chunks_arrive_without_extensions_and_trailers(sidecar: Sidecar, origin: Origin) -> None:
    seen = received(sidecar, origin, CHUNKED)
    assert seen.body == b"hello world"
    assert seen.framing == "chunked"
    assert seen.trailers == b""
    assert seen.all("x-trailer") == []
    assert seen.get("host") == "a"


def test_chunks_arrive_whole_however_they_were_cut(sidecar: Sidecar, origin: Origin) -> None:
    for at in range(1, len(CHUNKED)):
        with Client(sidecar.inbound) as client:
            client.send_pieces([CHUNKED[:at], CHUNKED[at:]])
            assert client.response().status == 200
    assert {seen.body for seen in origin.requests} == {b"hello world"}
    assert len(origin.requests) == len(CHUNKED) - 1


def test_a_request_with_upgrade_and_body_smuggles_nothing(sidecar: Sidecar, origin: Origin) -> None:
    inner = b"GET /inner HTTP/1.1\r\nHost: a\r\n\r\n"
    headers = {"Connection": "upgrade", "Upgrade": "x"}
    with Client(sidecar.inbound) as client:
        client.send(request("POST", "/outer", headers, inner))
        status = client.response().status
    assert status in {200, 400}
    assert "/inner" not in [seen.target for seen in origin.requests]
    if status == 200:
        assert origin.last.body == inner
        assert origin.last.all("upgrade") == []


def test_pipelined_requests_are_answered_in_order_one_at_a_time(
    sidecar: Sidecar, origin: Origin
) -> None:
    origin.script = answering(lambda seen: reply(body=seen.target.encode() + seen.body))
    batch = b"".join(
        request("POST" if i % 2 else "GET", f"/{i}", body=b"body" * (i % 2)) for i in range(20)
    )
    with Client(sidecar.inbound) as client:
        client.send(batch)
        bodies = [client.response().body for _ in range(20)]
    assert bodies == [f"/{i}".encode() + b"body" * (i % 2) for i in range(20)]
    assert [seen.target for seen in origin.requests] == [f"/{i}" for i in range(20)]
    assert len(origin.conversations) == 1


def test_an_empty_line_before_a_request_is_ignored(sidecar: Sidecar, origin: Origin) -> None:
    received(sidecar, origin, b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")


def test_a_client_that_half_closes_is_served(sidecar: Sidecar, origin: Origin) -> None:
    with Client(sidecar.inbound) as client:
        client.send(request("POST", "/", body=b"last words"))
        client.half_close()
        assert client.response().status == 200
        assert client.closed_by_peer()
    assert origin.last.body == b"last words"


def test_connections_are_kept_on_both_sides(sidecar: Sidecar, origin: Origin) -> None:
    with Client(sidecar.inbound) as client:
        for _ in range(10):
            assert client.ask("GET", "/").status == 200
    assert len(origin.requests) == 10
    assert len(origin.conversations) == 1


def test_close_from_the_client_is_honoured(sidecar: Sidecar, origin: Origin) -> None:
    with Client(sidecar.inbound) as client:
        answer = client.ask("GET", "/", {"Connection": "close"})
        assert answer.get("connection") == "close"
        assert client.closed_by_peer()
    assert fetch(sidecar.inbound).status == 200
    assert len(origin.conversations) == 1, "the upstream connection is ours to keep"


def test_an_old_client_is_closed_after_its_answer(sidecar: Sidecar, origin: Origin) -> None:
    with Client(sidecar.inbound) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.response().status == 200
        assert client.closed_by_peer()
    assert origin.last.start == b"GET / HTTP/1.1"
    assert origin.last.get("host") is not None


def test_an_old_client_may_ask_to_be_kept(sidecar: Sidecar, origin: Origin) -> None:
    with Client(sidecar.inbound) as client:
        for _ in range(2):
            client.send(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            answer = client.response()
            assert (answer.get("connection") or "").lower() == "keep-alive"
    assert len(origin.requests) == 2


def test_a_head_just_under_the_limits_passes(sidecar: Sidecar, origin: Origin) -> None:
    fields = "".join(f"X-{i}: {'v' * 250}\r\n" for i in range(95))
    data = f"GET /{'p' * 6000} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode()
    assert len(received(sidecar, origin, data).target) == 6001
