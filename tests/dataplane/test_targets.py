"""Request lines that are remembered mean what they meant when they were read."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from meshproxy.core.exchange import Exchange, Peer
from meshproxy.core.route import Limits, Plan
from meshproxy.core.verdict import Refusal
from meshproxy.dataplane import targets
from meshproxy.dataplane.requests import read_request
from tests.fakes import Stage

PEER = Peer("10.1.1.1", trusted=False, forwarded=b"")
PLAN = replace(Stage().plan, limits=Limits(uri_bytes=200))


def afresh() -> Plan:
    """A plan under which nothing was read."""
    return replace(PLAN, starts={}, paths={})


def read(line: bytes, plan: Plan) -> tuple[Refusal | None, Exchange]:
    exchange = Exchange(None, PEER, plan, 0.0)
    return read_request(exchange, line + b"\r\nHost: a\r\n\r\n", plan), exchange


def meant(line: bytes, plan: Plan) -> tuple[object, ...]:
    """All that a line says of its request."""
    refusal, exchange = read(line, plan)
    if refusal is not None:
        return (refusal,)
    start = exchange.start
    assert start is None or (start.method, start.path) == (exchange.method, exchange.path)
    return exchange.method, exchange.target, exchange.path, exchange.minor, exchange.keep_alive


PATHS = st.sampled_from([b"/a", b"/a/../b", b"/%61", b"/a%2f", b"//a", b"/" + b"x" * 90, b"*", b""])
QUERIES = st.sampled_from(
    [b"", b"?", b"?n=1", b"?n=%zz", b"?a/../b", b"??", b"? ", b"?a b", b"?#", b"?\x80", b"?\\",
     b"?\t", b"?" + b"y" * 30, b"?" + b"y" * 80, b"?" + b"y" * 250]
)  # fmt: skip
ENDS = st.sampled_from(
    [b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0", b" HTTP/1.1 ", b"  HTTP/1.1", b" http/1.1", b"",
     b"? HTTP/1.1", b" HTTP/1.1? HTTP/1.1"]
)  # fmt: skip
METHODS = st.sampled_from([b"GET ", b"POST ", b"get ", b"OPTIONS ", b"CONNECT ", b"GET  ", b""])
LINES = st.tuples(METHODS, PATHS, QUERIES, ENDS).map(b"".join)


@given(lines=st.lists(LINES, max_size=12), last=LINES)
@example(lines=[b"GET /a?n=1 HTTP/1.1"], last=b"GET /a?n=2 HTTP/1.0")
@example(lines=[b"GET /a?n=1 HTTP/1.0"], last=b"GET /a?n=2 HTTP/1.1")
@example(lines=[b"GET /%61?n=1 HTTP/1.1"], last=b"GET /%61?n=%61 HTTP/1.1")
@example(lines=[b"GET /a?n=1 HTTP/1.1"], last=b"GET /a?" + b"y" * 250 + b" HTTP/1.1")
@example(lines=[b"GET /a?n=1 HTTP/1.1"], last=b"GET /a?n 1 HTTP/1.1")
def test_whatever_was_read_before_a_line_means_what_it_would_mean_first(
    lines: list[bytes], last: bytes
) -> None:
    plan = afresh()
    for each in lines:
        read(each, plan)
    assert meant(last, plan) == meant(last, afresh())


def test_a_path_is_read_once_and_its_queries_each_time() -> None:
    plan = afresh()
    _, first = read(b"GET /./a?n=1 HTTP/1.1", plan)
    _, second = read(b"GET /./a?n=2 HTTP/1.1", plan)
    assert first.start is second.start is not None
    assert (second.target, second.path) == (b"/a?n=2", b"/a")
    assert (list(plan.paths), plan.starts) == ([b"GET /./a"], {})


def test_a_line_without_a_query_is_read_once() -> None:
    plan = afresh()
    read(b"GET /a HTTP/1.1", plan)
    plan.starts[b"GET /a HTTP/1.1"].path = b"/as/remembered"
    assert read(b"GET /a HTTP/1.1", plan)[1].path == b"/as/remembered"
    assert plan.paths == {}


def test_what_is_remembered_is_bounded_in_number_and_in_length() -> None:
    plan = afresh()
    for number in range(targets.MAX_REMEMBERED + 5):
        read(b"GET /%d HTTP/1.1" % number, plan)
        read(b"GET /%d?a HTTP/1.1" % number, plan)
    assert (len(plan.starts), len(plan.paths)) == (5, 5)
    long = b"/" + b"x" * targets.LONGEST_REMEMBERED
    assert read(b"GET %b HTTP/1.1" % long, plan)[1].start is None
    assert read(b"GET %b?a HTTP/1.1" % long, plan)[1].start is None
    short = b"GET /?" + b"y" * targets.LONGEST_REMEMBERED + b" HTTP/1.1"
    assert read(short, plan)[1].start is not None


def test_plans_remember_apart() -> None:
    one, other = afresh(), afresh()
    read(b"GET /a HTTP/1.1", one)
    read(b"GET /a?b HTTP/1.1", one)
    assert (other.starts, other.paths) == ({}, {})
