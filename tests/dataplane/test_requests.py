"""Request heads: what is refused and why, and what goes on to the upstream."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshproxy.core.exchange import CHUNKED, Exchange, Peer
from meshproxy.core.verdict import Refusal
from meshproxy.dataplane import refusals, requests
from meshproxy.dataplane.listener import own_block
from tests.fakes import Stage

PEER = Peer("10.1.1.1", False, own_block("10.1.1.1"))
TRUSTED = Peer("10.1.1.1", True, PEER.forwarded)
HOST = (b"Host", b"app")


def read(
    *fields: tuple[bytes, bytes],
    target: bytes = b"/x",
    method: bytes = b"GET",
    minor: int = 1,
    peer: Peer = PEER,
    key: str = "inbound",
) -> tuple[Refusal | None, Exchange]:
    exchange = Exchange(None, peer, Stage().plan, 0.0)
    exchange.plan = replace(Stage([Reader()]).plan, key=key)
    version = b"HTTP/1.%d" % minor
    lines = [b" ".join((method, target, version)), *(b": ".join(field) for field in fields)]
    head = b"\r\n".join([*lines, b"", b""])
    return requests.read_request(exchange, head, exchange.plan), exchange


class Reader:
    reads = frozenset({b"x-client-id"})
    replaces = frozenset({b"traceparent"})


def forwarded(exchange: Exchange) -> list[bytes]:
    return requests.request_head(exchange).split(b"\r\n")[1:-2]


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ([], refusals.NO_HOST),
        ([HOST, HOST], refusals.NO_HOST),
        ([(b"Host", b"")], refusals.BAD_HOST),
        ([(b"Host", b"a,b")], refusals.BAD_HOST),
        ([(b"Host", b"u@a")], refusals.BAD_HOST),
        ([(b"Host", b"a/b")], refusals.BAD_HOST),
        ([(b"Host", b"a:99999999")], refusals.BAD_HOST),
        ([HOST, (b"Content-Length", b"+1")], refusals.BAD_LENGTH),
        ([HOST, (b"Content-Length", b"1,1")], refusals.BAD_LENGTH),
        ([HOST, (b"Content-Length", b"")], refusals.BAD_LENGTH),
        ([HOST, (b"Content-Length", b"1" * 20)], refusals.BAD_LENGTH),
        ([HOST, (b"Content-Length", b"1"), (b"content-length", b"1")], refusals.BAD_LENGTH),
        ([HOST, (b"Transfer-Encoding", b"xchunked")], refusals.BAD_ENCODING),
        ([HOST, (b"Transfer-Encoding", b"gzip, chunked")], refusals.BAD_ENCODING),
        ([HOST, (b"Transfer-Encoding", b"identity")], refusals.BAD_ENCODING),
        (
            [HOST, (b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")],
            refusals.BOTH_FRAMINGS,
        ),
        ([HOST, (b"Transfer_Encoding", b"chunked")], refusals.BAD_NAME),
        ([HOST, (b"X_Forwarded-For", b"1.1.1.1")], refusals.BAD_NAME),
        ([HOST, (b"Expect", b"200-ok")], refusals.BAD_EXPECT),
        ([HOST, (b"Connection", b"close, Content-Length")], refusals.BAD_NOMINATION),
        ([HOST, (b"Connection", b"X-Forwarded-For")], refusals.BAD_NOMINATION),
        (
            [HOST, (b"Upgrade", b"websocket"), (b"Content-Length", b"3")],
            refusals.BAD_UPGRADE,
        ),
        ([HOST, (b"Via", b",".join([b"1.1 a"] * 40))], refusals.LOOP),
    ],
)
def test_a_head_without_a_single_meaning_is_refused(
    fields: list[tuple[bytes, bytes]], refusal: Refusal
) -> None:
    assert read(*fields)[0] is refusal


def test_chunks_in_http_1_0_are_refused() -> None:
    assert read((b"Transfer-Encoding", b"chunked"), minor=0)[0] is refusals.OLD_CHUNKED


def test_http_1_0_needs_no_host() -> None:
    assert read(minor=0)[0] is None


@pytest.mark.parametrize(
    "target",
    [b"/a#b", b"/a\\b", b"/\x80", b"a", b"*", b"ftp://a/", b"http://u@a/", b"http:///a", b"/a%00"],
)
def test_a_target_without_a_single_meaning_is_refused(target: bytes) -> None:
    refusal, _ = read(HOST, target=target)
    assert refusal in (refusals.BAD_TARGET, refusals.BAD_PATH)


@pytest.mark.parametrize("method", [b"CONNECT", b"PRI", b"SOURCE"])
def test_methods_that_no_service_speaks_are_501(method: bytes) -> None:
    assert read(HOST, method=method)[0] is refusals.BAD_METHOD


def test_an_absolute_target_replaces_the_host() -> None:
    refusal, exchange = read((b"Host", b"a"), target=b"http://B:80/x?y=1")
    assert refusal is None
    assert (exchange.host, exchange.target, exchange.path) == (b"b", b"/x?y=1", b"/x")
    head = forwarded(exchange)
    assert head[0] == b"Host: B:80"
    assert b"x-forwarded-host: B:80" in head


@pytest.mark.parametrize("fields", [[], [(b"X-A", b"1"), (b"Connection", b"close")]])
def test_an_absolute_target_of_http_1_0_becomes_the_host(fields: list[tuple[bytes, bytes]]) -> None:
    refusal, exchange = read(*fields, target=b"http://b/x", minor=0)
    assert (refusal, exchange.host) == (None, b"b")
    assert forwarded(exchange)[0] == b"host: b"


def test_the_host_beside_an_absolute_target_must_be_one_too() -> None:
    assert read((b"Host", b"a,b"), target=b"http://b/x")[0] is refusals.BAD_HOST


def test_fields_go_on_in_order_with_their_case_and_duplicates() -> None:
    _, exchange = read(HOST, (b"X-B", b"1"), (b"x-a", b"2"), (b"X-B", b"3"), (b"ETag", b""))
    assert forwarded(exchange) == [
        b"Host: app", b"X-B: 1", b"x-a: 2", b"X-B: 3", b"ETag: ",
        b"x-forwarded-for: 10.1.1.1", b"x-forwarded-proto: http", b"x-forwarded-host: app",
        b"via: 1.1 meshproxy",
    ]  # fmt: skip


def test_hop_by_hop_fields_end_here() -> None:
    _, exchange = read(
        HOST, (b"Connection", b"keep-alive, X-Once"), (b"x-once", b"1"), (b"Keep-Alive", b"5"),
        (b"TE", b"trailers"), (b"Proxy-Connection", b"close"), (b"Trailer", b"x"),
        (b"Upgrade", b"h2c"), (b"HTTP2-Settings", b"x"), (b"X-Meshproxy-Attempt", b"9"),
    )  # fmt: skip
    assert forwarded(exchange)[:2] == [b"Host: app", b"x-forwarded-for: 10.1.1.1"]


def test_a_length_is_written_anew() -> None:
    _, exchange = read(HOST, (b"Content-Length", b"007"))
    assert forwarded(exchange)[1] == b"Content-Length: 7"
    assert exchange.length == 7


def test_chunked_is_written_anew() -> None:
    _, exchange = read(HOST, (b"transfer-encoding", b"Chunked"))
    assert forwarded(exchange)[1] == b"transfer-encoding: chunked"
    assert exchange.length == CHUNKED


def test_fields_that_a_policy_reads_stay_and_those_it_replaces_go() -> None:
    _, exchange = read(HOST, (b"X-CLIENT-ID", b"a"), (b"x-client-id", b"b"), (b"Traceparent", b"t"))
    assert exchange.header(b"x-client-id") == b"a, b"
    assert exchange.header(b"traceparent") == b"t"
    assert forwarded(exchange)[:3] == [b"Host: app", b"X-CLIENT-ID: a", b"x-client-id: b"]


def test_an_untrusted_peer_speaks_for_nobody() -> None:
    _, exchange = read(HOST, (b"X-Forwarded-For", b"9.9.9.9"), (b"x-forwarded-proto", b"https"))
    assert forwarded(exchange)[1:4] == [
        b"x-forwarded-for: 10.1.1.1", b"x-forwarded-proto: http", b"x-forwarded-host: app",
    ]  # fmt: skip


def test_a_trusted_peer_is_added_to_what_it_says() -> None:
    _, exchange = read(
        HOST, (b"X-Forwarded-For", b"9.9.9.9"), (b"x-forwarded-proto", b"https"),
        (b"X-Forwarded-Host", b"shop"), peer=TRUSTED,
    )  # fmt: skip
    assert forwarded(exchange)[1:4] == [
        b"x-forwarded-for: 9.9.9.9, 10.1.1.1", b"x-forwarded-proto: https",
        b"x-forwarded-host: shop",
    ]  # fmt: skip


def test_close_and_keep_alive_are_heard() -> None:
    assert not read(HOST, (b"Connection", b"Close"))[1].keep_alive
    exchange = read((b"Connection", b"Keep-Alive"), minor=0)[1]
    assert exchange.keep_alive


def test_credentials_for_a_proxy_go_on_unless_the_target_means_us() -> None:
    line = b"Proxy-Authorization: Basic YTpi"
    field = (b"Proxy-Authorization", b"Basic YTpi")
    assert line in forwarded(read(HOST, field)[1])
    assert line not in forwarded(read(HOST, field, target=b"http://app/x")[1])


@pytest.mark.parametrize(
    ("target", "fields", "refusal"),
    [
        (b"b:443", [(b"Host", b"b:443")], None),
        (b"B:443", [(b"Host", b"a")], None),
        (b"[::1]:443", [(b"Host", b"[::1]:443")], None),
        (b"b:443", [], refusals.NO_HOST),
        (b"b:443", [HOST, (b"Content-Length", b"1")], refusals.BAD_CONNECT),
        (b"b:443", [HOST, (b"Transfer-Encoding", b"chunked")], refusals.BAD_CONNECT),
        (b"b", [HOST], refusals.BAD_TARGET),
        (b"b:", [HOST], refusals.BAD_TARGET),
        (b":443", [HOST], refusals.BAD_TARGET),
        (b"b:0", [HOST], refusals.BAD_TARGET),
        (b"b:65536", [HOST], refusals.BAD_TARGET),
        (b"u@b:443", [HOST], refusals.BAD_TARGET),
        (b"http://b:443", [HOST], refusals.BAD_TARGET),
        (b"/b:443", [HOST], refusals.BAD_TARGET),
        (b"*", [HOST], refusals.BAD_TARGET),
    ],
)
def test_connect_names_a_host_and_a_port(
    target: bytes, fields: list[tuple[bytes, bytes]], refusal: Refusal | None
) -> None:
    told, exchange = read(*fields, target=target, method=b"CONNECT", key="outbound")
    assert told is refusal
    if refusal is None:
        assert exchange.host == target.lower()
        assert exchange.tunnel
        assert not exchange.keep_alive


def test_connect_is_for_the_app_alone() -> None:
    assert read(HOST, target=b"b:443", method=b"CONNECT")[0] is refusals.BAD_METHOD


@pytest.mark.parametrize(("method", "answer"), [(b"OPTIONS", 200), (b"TRACE", 405)])
def test_the_last_hop_answers_for_itself(method: bytes, answer: int) -> None:
    refusal, _ = read(HOST, (b"Max-Forwards", b"0"), method=method)
    assert refusal is not None
    assert refusal.status == answer


def test_hops_are_counted_down_where_they_count() -> None:
    field = (b"Max-Forwards", b"10")
    assert b"Max-Forwards: 9" in forwarded(read(HOST, field, method=b"OPTIONS")[1])
    assert b"Max-Forwards: 10" in forwarded(read(HOST, field)[1])
    assert read(HOST, (b"Max-Forwards", b"x"), method=b"TRACE")[0] is refusals.BAD_SYNTAX


def test_what_else_an_untrusted_peer_says_of_its_origin_ends_here() -> None:
    fields = [
        (b"Forwarded", b"for=1.1.1.1"),
        (b"X-Real-IP", b"1.1.1.1"),
        (b"X-Forwarded-Port", b"1"),
    ]
    assert not any(b"1.1.1.1" in line for line in forwarded(read(HOST, *fields)[1]))
    kept = forwarded(read(HOST, *fields, peer=TRUSTED)[1])
    assert b"forwarded: for=1.1.1.1" in kept
    assert b"x-forwarded-port: 1" in kept


@pytest.mark.parametrize(
    "name", [b"X-Client-Id", b"Traceparent", b"X-Forwarded-Port", b"X-B3-TraceId", b"X-Real-IP"]
)
def test_nobody_nominates_what_somebody_reads(name: bytes) -> None:
    refusal, _ = read(HOST, (name, b"1"), (b"Connection", b"close, " + name))
    assert refusal is refusals.BAD_NOMINATION
