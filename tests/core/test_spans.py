"""The queue of records: bounded in spans, oldest first, and nobody waits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.core.exchange import Exchange, Peer
from meshproxy.core.spans import LONGEST, LONGEST_AGENT, Record, Spans


def exchange_of(*lines: bytes, path: bytes = b"/a") -> Exchange:
    plan = cast(Any, SimpleNamespace(unmatched=None))
    exchange = Exchange(None, Peer("127.0.0.1", trusted=False, forwarded=b""), plan, 1.0)
    exchange.path, exchange.lines = path, list(lines)
    return exchange


def record_of(spans: Spans, exchange: Exchange, attempts: int = 0) -> Record:
    record = Record(exchange, spans, (b"1" * 32, b"2" * 16, None), "127.0.0.1")
    record.attempts += cast(Any, [object()] * attempts)
    return record


def add(spans: Spans, attempts: int) -> None:
    record_of(spans, exchange_of(), attempts).end(2.0)


def test_what_finds_no_room_is_counted_and_lost() -> None:
    spans = Spans()
    spans.bound = 5
    for _ in range(4):
        add(spans, attempts=1)
    assert (spans.held, spans.lost) == (4, 4)
    add(spans, attempts=0)
    assert (spans.held, spans.lost) == (5, 4)
    told = {(one.family, *one.labels): one.value for one in spans.samples()}
    assert told == {
        ("meshproxy_spans_total", ("outcome", "queue_full")): 4.0,
        ("meshproxy_spans_queued",): 5.0,
    }


def test_what_was_given_out_keeps_its_room_until_it_is_forgotten() -> None:
    spans = Spans()
    spans.bound, spans.batch = 4, 2
    for _ in range(2):
        add(spans, attempts=1)
    first = spans.first()
    assert len(first) == 1
    assert spans.held == 4
    assert spans.forget(first) == 2
    assert spans.held == 2
    assert spans.first()[0] is not first[0]


def test_whoever_exports_is_woken_when_there_is_a_batch() -> None:
    spans = Spans()
    spans.batch = 4
    woken: list[int] = []
    spans.wake = lambda: woken.append(spans.held)
    for _ in range(3):
        add(spans, attempts=1)
    assert woken == [4, 6]


def test_a_record_larger_than_a_batch_is_a_batch_of_its_own() -> None:
    spans = Spans()
    spans.batch = 3
    add(spans, attempts=9)
    add(spans, attempts=0)
    assert [record.size for record in spans.first()] == [10]


@given(
    st.lists(st.one_of(st.integers(0, 6), st.just("send")), max_size=60),
    st.integers(1, 12),
    st.integers(1, 30),
)
def test_every_span_is_held_lost_or_forgotten_and_never_more_than_the_bound(
    steps: list[Any], batch: int, bound: int
) -> None:
    spans = Spans()
    spans.batch, spans.bound = batch, bound
    made = forgotten = 0
    for step in steps:
        if step == "send":
            forgotten += spans.forget(spans.first())
        else:
            add(spans, attempts=step)
            made += step + 1
        assert 0 <= spans.held <= bound
        assert made == spans.held + spans.lost + forgotten
    while spans.held:
        forgotten += spans.forget(spans.first())
    assert made == spans.lost + forgotten


def test_an_exchange_ends_once() -> None:
    spans = Spans()
    record = record_of(spans, exchange_of())
    record.end(2.0)
    record.end(3.0)
    assert (spans.held, record.ended) == (1, 2.0)


@pytest.mark.parametrize(
    ("lines", "agent"),
    [
        ([b"User-Agent: me/1"], b"me/1"),
        ([b"Accept: */*\r\nuser-agent:me/1 \r\nX: y"], b"me/1"),
        ([b"Accept: */*", b"USER-AGENT: \tme/1\r\nX: y"], b"me/1"),
        ([b"X-User-Agent: me/1", b"X: user-agent: y"], b""),
        ([b"User-Agent:"], b""),
        ([b"User-Agent: " + b"x" * 300], b"x" * LONGEST_AGENT),
        ([], b""),
    ],
)
def test_the_user_agent_is_found_among_the_lines(lines: list[bytes], agent: bytes) -> None:
    record = record_of(Spans(), exchange_of(*lines))
    record.end(2.0)
    assert record.agent == agent


def test_of_a_long_path_only_the_beginning_is_kept() -> None:
    record = record_of(Spans(), exchange_of(path=b"/" + b"x" * 8000))
    record.end(2.0)
    assert len(record.path) == LONGEST


def test_a_note_is_heard_only_where_there_is_a_record() -> None:
    exchange = exchange_of()
    exchange.note("unheard", 1.0)
    exchange.trace = (b"", b"", False, None)
    exchange.note("unheard", 1.0)
    record = record_of(Spans(), exchange)
    exchange.trace = (b"", b"", True, None, record)
    exchange.note("heard", 1.5, why="x")
    assert record.notes == [(1.5, "heard", {"why": "x"})]
