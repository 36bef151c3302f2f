"""Trace headers are read as the specifications say, and what breaks them starts a new trace."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.logic.trace import (
    Parent,
    identities,
    kept_state,
    read_b3,
    read_b3_multi,
    read_jaeger,
    read_w3c,
    share_of,
    write_b3,
    write_b3_multi,
    write_jaeger,
    write_w3c,
)

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = b"00f067aa0ba902b7"
OWN = b"b7ad6b7169203331"
GOOD = b"00-" + TRACE + b"-" + SPAN + b"-01"


def test_a_good_traceparent_is_read_whole() -> None:
    expected = Parent(TRACE, SPAN, sampled=True, random=False, state=b"a=1,b=2")
    assert read_w3c(GOOD, b"a=1, b=2") == expected


@pytest.mark.parametrize(
    ("flags", "sampled", "is_random"),
    [("00", False, False), ("01", True, False), ("02", False, True), ("ff", True, True)],
)
def test_the_flags_we_know_are_read_and_no_others(
    flags: str, sampled: bool, is_random: bool
) -> None:
    parent = read_w3c(GOOD[:-2] + flags.encode(), None)
    assert parent is not None
    assert (parent.sampled, parent.random) == (sampled, is_random)


def test_unknown_flags_are_zeroed_and_the_random_flag_is_kept() -> None:
    parent = read_w3c(GOOD[:-2] + b"ff", None)
    assert write_w3c(TRACE, OWN, sampled=True, parent=parent).endswith(OWN + b"-03\r\n")
    parent = read_w3c(GOOD, None)
    assert write_w3c(TRACE, OWN, sampled=True, parent=parent).endswith(OWN + b"-01\r\n")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"garbage",
        GOOD[:-1],
        GOOD + b"0",
        GOOD + b"-extra",  # version 00 ends after its flags
        GOOD + b", " + GOOD,
        GOOD.upper(),
        b"ff" + GOOD[2:],
        b"0" + GOOD[1:].replace(b"-", b"_"),
        b"00-" + b"0" * 32 + b"-" + SPAN + b"-01",
        b"00-" + TRACE + b"-" + b"0" * 16 + b"-01",
        b"01" + GOOD[2:] + b"extra",
        b" " + GOOD,
        GOOD + b"\n",
    ],
)
def test_a_traceparent_that_breaks_the_grammar_is_none(value: bytes) -> None:
    assert read_w3c(value, b"a=1") is None


@pytest.mark.parametrize("tail", [b"", b"-", b"-what-the-future-brings"])
def test_a_higher_version_is_read_as_far_as_we_know_it(tail: bytes) -> None:
    assert read_w3c(b"cc" + GOOD[2:] + tail, None) == Parent(TRACE, SPAN, sampled=True)


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        (b"a=1", b"a=1"),
        (b"foo=1 \t , \t bar=2, \t baz=3", b"foo=1,bar=2,baz=3"),
        (b"a=1,,b=2,", b"a=1,b=2"),
        (b"0tenant@vendor=x,a_b-c*d/e=f", b"0tenant@vendor=x,a_b-c*d/e=f"),
        (b"a= inner space", b"a= inner space"),
        (b"A=1,b=2", b""),
        (b"@a=1", b""),
        (b"a=1=2", b""),
        (b"a", b""),
        (b"a=", b""),
        (b"a=\x7f", b""),
        (b"a=\xc3\xa9", b""),
        (b"z" * 256 + b"=1", b"z" * 256 + b"=1"),
        (b"z" * 257 + b"=1", b""),
        (b"a=" + b"v" * 256, b"a=" + b"v" * 256),
        (b"a=" + b"v" * 257, b""),
        (b",".join(b"k%d=1" % n for n in range(32)), b",".join(b"k%d=1" % n for n in range(32))),
        (b",".join(b"k%d=1" % n for n in range(33)), b""),
    ],
)
def test_a_tracestate_is_kept_whole_or_dropped_whole(state: bytes, kept: bytes) -> None:
    assert kept_state(state) == kept


def test_of_a_huge_tracestate_the_long_entries_go_first_then_the_last() -> None:
    longest = [b"l%d=%b" % (n, b"v" * 250) for n in range(8)]
    short = [b"s%d=%b" % (n, b"v" * 100) for n in range(20)]
    kept = kept_state(b",".join([*longest, *short])).split(b",")
    assert kept == short[: len(kept)]
    assert 512 <= len(b",".join(kept)) <= 2048


@given(st.binary(max_size=300))
def test_no_bytes_make_a_tracestate_unfit_to_be_sent(value: bytes) -> None:
    kept = kept_state(value)
    assert kept_state(kept) == kept
    assert re.fullmatch(rb"[ -~]*", kept)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"0", Parent(b"", b"", sampled=False)),
        (b"1", Parent(b"", b"", sampled=True)),
        (b"d", Parent(b"", b"", sampled=True, debug=True)),
        (TRACE + b"-" + SPAN, Parent(TRACE, SPAN, sampled=None)),
        (TRACE + b"-" + SPAN + b"-1", Parent(TRACE, SPAN, sampled=True)),
        (TRACE + b"-" + SPAN + b"-0", Parent(TRACE, SPAN, sampled=False)),
        (TRACE + b"-" + SPAN + b"-true", Parent(TRACE, SPAN, sampled=True)),
        (TRACE + b"-" + SPAN + b"-d", Parent(TRACE, SPAN, sampled=True, debug=True)),
        (TRACE + b"-" + SPAN + b"-1-" + OWN, Parent(TRACE, SPAN, sampled=True)),
        (SPAN + b"-" + OWN + b"-1", Parent(b"0" * 16 + SPAN, OWN, sampled=True)),
        (b"", None),
        (b"2", None),
        (TRACE, None),
        (TRACE[:-1] + b"-" + SPAN, None),
        (TRACE + b"-" + SPAN + b"-", None),
        (TRACE + b"-" + SPAN + b"-x", None),
        (TRACE.upper() + b"-" + SPAN, None),
        (b"0" * 32 + b"-" + SPAN, None),
        (TRACE + b"-" + b"0" * 16, None),
    ],
)
def test_the_single_b3_header(value: bytes, expected: Parent | None) -> None:
    assert read_b3(value) == expected


def multi(**fields: bytes) -> Parent | None:
    return read_b3_multi({b"x-b3-" + name.encode(): value for name, value in fields.items()}.get)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"traceid": TRACE, "spanid": SPAN}, Parent(TRACE, SPAN, sampled=None)),
        ({"traceid": TRACE, "spanid": SPAN, "sampled": b"1"}, Parent(TRACE, SPAN, sampled=True)),
        (
            {"traceid": TRACE, "spanid": SPAN, "sampled": b"false"},
            Parent(TRACE, SPAN, sampled=False),
        ),
        (
            {"traceid": TRACE, "spanid": SPAN, "flags": b"1"},
            Parent(TRACE, SPAN, sampled=True, debug=True),
        ),
        ({"traceid": SPAN, "spanid": OWN}, Parent(b"0" * 16 + SPAN, OWN, sampled=None)),
        ({"sampled": b"0"}, Parent(b"", b"", sampled=False)),
        ({"flags": b"1"}, Parent(b"", b"", sampled=True, debug=True)),
        ({"flags": b"0"}, None),
        ({"traceid": TRACE}, None),
        ({"spanid": SPAN}, None),
        ({"traceid": b"xyz", "spanid": SPAN}, None),
        ({"traceid": b"0" * 16, "spanid": SPAN}, None),
        ({"traceid": TRACE, "spanid": SPAN, "sampled": b"d"}, None),
        ({"traceid": TRACE, "spanid": SPAN, "sampled": b"yes"}, None),
    ],
)
def test_the_multiple_b3_headers(fields: dict[str, bytes], expected: Parent | None) -> None:
    assert multi(**fields) == expected


def test_a_trace_of_our_own_is_written_in_each_format() -> None:
    assert write_w3c(TRACE, OWN, True, None) == b"traceparent: 00-%b-%b-03\r\n" % (TRACE, OWN)
    assert write_w3c(TRACE, OWN, False, None) == b"traceparent: 00-%b-%b-02\r\n" % (TRACE, OWN)
    assert write_b3(TRACE, OWN, True, None) == b"b3: %b-%b-1\r\n" % (TRACE, OWN)
    assert write_b3_multi(TRACE, OWN, False, None) == (
        b"x-b3-traceid: %b\r\nx-b3-spanid: %b\r\nx-b3-sampled: 0\r\n" % (TRACE, OWN)
    )


def test_a_caller_s_trace_is_written_with_its_span_as_the_parent() -> None:
    parent = Parent(TRACE, SPAN, sampled=True, state=b"a=1")
    assert write_w3c(TRACE, OWN, True, parent) == (
        b"traceparent: 00-%b-%b-01\r\ntracestate: a=1\r\n" % (TRACE, OWN)
    )
    assert write_b3(TRACE, OWN, True, parent) == b"b3: %b-%b-1-%b\r\n" % (TRACE, OWN, SPAN)
    assert b"x-b3-parentspanid: %b\r\n" % SPAN in write_b3_multi(TRACE, OWN, True, parent)


def test_the_debug_flag_travels_in_the_place_of_the_decision() -> None:
    parent = Parent(TRACE, SPAN, sampled=True, debug=True)
    assert read_b3(write_b3(TRACE, OWN, True, parent)[4:-2]) == parent._replace(span_id=OWN)
    lines = write_b3_multi(TRACE, OWN, True, parent)
    assert b"x-b3-flags: 1\r\n" in lines
    assert b"sampled" not in lines


def test_an_id_of_ours_is_called_random_even_where_a_caller_sent_a_decision() -> None:
    decided = Parent(b"", b"", sampled=False)
    assert write_w3c(TRACE, OWN, False, decided) == b"traceparent: 00-%b-%b-02\r\n" % (TRACE, OWN)
    assert write_b3(TRACE, OWN, False, decided) == b"b3: %b-%b-0\r\n" % (TRACE, OWN)


def test_identities_have_their_shapes_and_never_come_twice() -> None:
    source = identities(random.Random(7).getrandbits)
    drawn = [next(source) for _ in range(1000)]
    for trace_id, span_id, request_id in drawn:
        assert re.fullmatch(rb"[0-9a-f]{32}", trace_id)
        assert re.fullmatch(rb"[0-9a-f]{16}", span_id)
        assert re.fullmatch(
            rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", request_id
        )
    assert all(len(set(column)) == 1000 for column in zip(*drawn, strict=True))


@pytest.mark.parametrize(
    ("share", "low", "high"), [(0.0, 0, 0), (0.1, 800, 1200), (1.0, 10**4, 10**4)]
)
def test_a_share_takes_its_part_of_the_traces(share: float, low: int, high: int) -> None:
    is_sampled, source = share_of(share), identities(random.Random(7).getrandbits)
    taken = sum(is_sampled(next(source)[0]) for _ in range(10**4))
    assert low <= taken <= high


@given(st.integers(0, 2**128 - 1), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_takes_all_that_a_smaller_one_takes(
    trace_id: int, one: float, other: float
) -> None:
    text = b"%032x" % trace_id
    if share_of(min(one, other))(text):
        assert share_of(max(one, other))(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (TRACE + b":" + SPAN + b":0:1", Parent(TRACE, SPAN, sampled=True)),
        (TRACE + b":" + SPAN + b":0:0", Parent(TRACE, SPAN, sampled=False)),
        (TRACE + b":" + SPAN + b":" + OWN + b":1", Parent(TRACE, SPAN, sampled=True)),
        (TRACE + b":" + SPAN + b"::01", Parent(TRACE, SPAN, sampled=True)),
        (TRACE + b":" + SPAN + b":0:2", Parent(TRACE, SPAN, sampled=True, debug=True)),
        (TRACE + b":" + SPAN + b":0:3", Parent(TRACE, SPAN, sampled=True, debug=True)),
        (TRACE + b":" + SPAN + b":0:f1", Parent(TRACE, SPAN, sampled=True)),
        (TRACE.upper() + b":" + SPAN + b":0:1", Parent(TRACE, SPAN, sampled=True)),
        (SPAN + b":" + OWN + b":0:1", Parent(b"0" * 16 + SPAN, OWN, sampled=True)),
        (b"1:2:0:1", Parent(b"1".rjust(32, b"0"), b"2".rjust(16, b"0"), sampled=True)),
        (TRACE + b"%3A" + SPAN + b"%3a0%3A1", Parent(TRACE, SPAN, sampled=True)),
        (b"", None),
        (b"1:2:0", None),
        (b"1:2:0:1:1", None),
        (b"1:2:0:", None),
        (b"0:2:0:1", None),
        (b"1:0:0:1", None),
        (b"1:2:0:001", None),
        (b"x:2:0:1", None),
        (b"1" * 33 + b":2:0:1", None),
        (b"1:" + b"2" * 17 + b":0:1", None),
        (b" 1:2:0:1", None),
        (b"1:2:0:1\n", None),
        (b"1:2:0:1, 1:2:0:1", None),
        (b"1%253A2:0:1", None),
    ],
)
def test_the_jaeger_header(value: bytes, expected: Parent | None) -> None:
    assert read_jaeger(value) == expected


IDS = st.integers(1, 2**128 - 1).map(lambda number: b"%032x" % number)
SPANS = st.integers(1, 2**64 - 1).map(lambda number: b"%016x" % number)


@given(IDS, SPANS, st.booleans(), st.none() | st.tuples(SPANS, st.booleans()))
def test_what_is_written_for_jaeger_is_read_as_it_was_meant(
    trace_id: bytes, span_id: bytes, sampled: bool, caller: tuple[bytes, bool] | None
) -> None:
    parent = Parent(trace_id, caller[0], True, debug=caller[1]) if caller else None
    line = write_jaeger(trace_id, span_id, sampled or bool(caller and caller[1]), parent)
    name, _, value = line.partition(b": ")
    read = read_jaeger(value.removesuffix(b"\r\n"))
    assert name == b"uber-trace-id"
    assert read == Parent(
        trace_id, span_id, sampled or bool(caller and caller[1]), debug=bool(caller and caller[1])
    )
    assert value.split(b":")[2] == (caller[0] if caller else b"0")
    stripped = b":".join(part.lstrip(b"0") or b"0" for part in value[:-2].split(b":"))
    assert read_jaeger(stripped.replace(b":", b"%3A")) == read, "as senders shorten and escape it"


@given(st.binary(max_size=120) | st.text("0123456789abcdef:%3A", max_size=80).map(str.encode))
def test_no_jaeger_header_makes_ids_that_others_cannot_read(value: bytes) -> None:
    parent = read_jaeger(value)
    if parent is not None:
        assert read_w3c(b"00-%b-%b-01" % (parent.trace_id, parent.span_id), None) is not None
