"""Every request is named and placed in a trace, and every attempt carries both on."""

from __future__ import annotations

import random
import re
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError

from meshproxy.core.exchange import Exchange, Peer
from meshproxy.logic.trace import identities
from meshproxy.policies.tracing import Tracing, TracingSpec

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"


def tracing(*formats: str, sample: str = "0%") -> Tracing:
    spec = TracingSpec.model_validate({"propagate": formats or ("tracecontext",), "sample": sample})
    scope = SimpleNamespace(random=random.Random(1))
    return spec.build(cast(Any, scope))


def request(**headers: str) -> Exchange:
    plan = cast(Any, SimpleNamespace(unmatched=None))
    exchange = Exchange(None, Peer("127.0.0.1", trusted=False, forwarded=b""), plan, 0.0)
    exchange.taken = {k.replace("_", "-").encode(): v.encode() for k, v in headers.items()}
    return exchange


def sent(policy: Tracing, exchange: Exchange, attempt: int = 1) -> dict[str, str]:
    """The header lines of one attempt, as a mapping; each name must come once."""
    if attempt == 1:
        policy.admit(exchange, 1.0)
    exchange.added, exchange.attempts = [], attempt
    policy.depart(exchange, 1.0)
    block = b"".join(exchange.added).decode()
    assert block.endswith("\r\n")
    lines = [line.split(": ", 1) for line in block.split("\r\n")[:-1]]
    assert len({name for name, _ in lines}) == len(lines)
    return dict(lines)


def test_a_request_without_a_trace_begins_one() -> None:
    lines = sent(tracing("tracecontext", "b3", "b3multi"), request())
    found = re.fullmatch("00-([0-9a-f]{32})-([0-9a-f]{16})-02", lines["traceparent"])
    assert found is not None
    assert lines["b3"] == f"{found[1]}-{found[2]}-0"
    assert lines["x-b3-traceid"] == found[1]
    assert lines["x-b3-spanid"] == found[2]
    assert lines["x-b3-sampled"] == "0"
    assert lines["x-meshproxy-attempt"] == "1"


def test_a_caller_s_trace_goes_on_with_a_span_of_ours() -> None:
    lines = sent(tracing(), request(traceparent=TRACEPARENT, tracestate="a=100%,b=2"))
    assert lines["traceparent"].startswith(f"00-{TRACE}-")
    assert lines["traceparent"].endswith("-01")
    assert SPAN not in lines["traceparent"]
    assert lines["tracestate"] == "a=100%,b=2"


def test_a_bad_traceparent_starts_anew_and_drops_the_tracestate() -> None:
    lines = sent(tracing(), request(traceparent="00-bad", tracestate="a=1"))
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-02", lines["traceparent"])
    assert "tracestate" not in lines


def test_a_tracestate_alone_is_dropped() -> None:
    policy = tracing()
    assert "tracestate" not in sent(policy, request(tracestate="a=1"))
    assert b"tracestate" in policy.replaces


def test_where_both_kinds_came_only_trace_context_counts_be_it_good_or_bad() -> None:
    b3 = f"{'a' * 32}-{SPAN}-0"
    lines = sent(tracing("b3", "tracecontext"), request(traceparent=TRACEPARENT, b3=b3))
    assert lines["b3"].startswith(f"{TRACE}-")
    assert lines["b3"].endswith(f"-1-{SPAN}")
    lines = sent(tracing("b3", "tracecontext"), request(traceparent="bad", b3=b3))
    assert "a" * 32 not in lines["b3"]


def test_the_single_b3_header_wins_over_the_multiple_ones() -> None:
    fields = {"b3": f"{TRACE}-{SPAN}-1", "x_b3_traceid": "a" * 32, "x_b3_spanid": SPAN}
    assert sent(tracing("b3"), request(**fields))["b3"].startswith(TRACE)


def test_either_b3_format_reads_both_spellings() -> None:
    lines = sent(tracing("b3"), request(x_b3_traceid=TRACE, x_b3_spanid=SPAN, x_b3_sampled="1"))
    assert re.fullmatch(f"{TRACE}-[0-9a-f]{{16}}-1-{SPAN}", lines["b3"])
    lines = sent(tracing("b3multi"), request(b3=f"{TRACE}-{SPAN}-1"))
    assert lines["x-b3-traceid"] == TRACE
    assert lines["x-b3-parentspanid"] == SPAN


def test_a_decision_without_ids_holds_for_a_trace_of_our_own() -> None:
    lines = sent(tracing("tracecontext", "b3", sample="100%"), request(b3="0"))
    assert lines["traceparent"].endswith("-02")
    assert lines["b3"].endswith("-0")


@pytest.mark.parametrize(("sample", "flag"), [("0%", "0"), ("100%", "1")])
def test_a_caller_that_defers_leaves_the_decision_to_the_share(sample: str, flag: str) -> None:
    lines = sent(tracing("b3", sample=sample), request(b3=f"{TRACE}-{SPAN}"))
    assert lines["b3"].split("-")[2] == flag


def test_a_caller_s_decision_wins_over_the_share() -> None:
    lines = sent(tracing(sample="100%"), request(traceparent=TRACEPARENT[:-1] + "0"))
    assert lines["traceparent"].endswith("-00")


def test_the_share_decides_for_new_traces() -> None:
    assert sent(tracing(sample="100%"), request())["traceparent"].endswith("-03")


@pytest.mark.parametrize("fields", [{}, {"traceparent": TRACEPARENT}])
def test_each_attempt_is_a_span_of_its_own_in_one_trace(fields: dict[str, str]) -> None:
    policy, exchange = tracing("tracecontext", "b3"), request(**fields)
    attempts = [sent(policy, exchange, attempt) for attempt in (1, 2, 3)]
    assert [lines["x-meshproxy-attempt"] for lines in attempts] == ["1", "2", "3"]
    assert len({lines["traceparent"].split("-")[1] for lines in attempts}) == 1
    assert len({lines["traceparent"].split("-")[2] for lines in attempts}) == 3
    assert len({lines["x-request-id"] for lines in attempts}) == 1
    assert exchange.trace[1].decode() == attempts[-1]["traceparent"].split("-")[2]


@pytest.mark.parametrize("given", ["abc", "x" * 128, "{!~}"])
def test_a_well_formed_request_id_is_kept(given: str) -> None:
    exchange = request(x_request_id=given)
    assert sent(tracing(), exchange)["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a\x1b[0m", "café", "a, b"])
def test_any_other_request_id_is_replaced(given: str) -> None:
    assert re.fullmatch(
        "[0-9a-f-]{36}", sent(tracing(), request(x_request_id=given))["x-request-id"]
    )


def test_a_request_id_is_kept_when_a_trace_came_too() -> None:
    lines = sent(tracing(), request(x_request_id="mine", traceparent=TRACEPARENT))
    assert lines["x-request-id"] == "mine"


def test_the_answer_names_the_request() -> None:
    policy, exchange = tracing(), request()
    policy.admit(exchange, 1.0)
    policy.respond(exchange, 2.0)
    assert exchange.answer_lines == [b"x-request-id: %b\r\n" % exchange.request_id]


def test_headers_of_formats_that_are_not_propagated_are_left_alone() -> None:
    assert b"b3" not in tracing("tracecontext").replaces
    assert b"traceparent" not in tracing("b3").replaces
    lines = sent(tracing("b3"), request(traceparent=TRACEPARENT))
    assert TRACE not in lines["b3"]


def test_two_policies_never_name_two_requests_alike() -> None:
    one, two = identities(random.Random(1).getrandbits), identities(random.Random(2).getrandbits)
    assert not {next(one)[2] for _ in range(500)} & {next(two)[2] for _ in range(500)}


def test_a_jaeger_trace_goes_on_in_every_format() -> None:
    policy = tracing("tracecontext", "b3", "jaeger")
    lines = sent(policy, request(uber_trace_id=f"{TRACE}:{SPAN}:0:1"))
    span = lines["traceparent"].split("-")[2]
    assert lines["traceparent"].startswith(f"00-{TRACE}-")
    assert lines["uber-trace-id"] == f"{TRACE}:{span}:{SPAN}:1"
    assert b"uber-trace-id" in policy.replaces
    assert b"uber-trace-id" not in tracing("b3").replaces


def test_a_jaeger_header_counts_where_no_other_came() -> None:
    uber, policy = f"{'a' * 32}:{SPAN}:0:1", tracing("tracecontext", "b3", "jaeger")
    single = sent(policy, request(uber_trace_id=uber, b3=f"{TRACE}-{SPAN}-1"))
    assert single["uber-trace-id"].startswith(f"{TRACE}:")
    multiple = request(uber_trace_id=uber, x_b3_traceid=TRACE, x_b3_spanid=SPAN)
    assert sent(policy, multiple)["uber-trace-id"].startswith(f"{TRACE}:")
    assert sent(policy, request(uber_trace_id=uber))["b3"].startswith("a" * 32)
    assert not sent(policy, request(uber_trace_id="x"))["b3"].startswith("a" * 32)


def test_a_trace_of_our_own_begins_in_jaeger_s_format_too() -> None:
    lines = sent(tracing("jaeger", sample="100%"), request())
    assert re.fullmatch("[0-9a-f]{32}:[0-9a-f]{16}:0:1", lines["uber-trace-id"])


def test_nothing_of_a_trace_is_read_or_written_where_propagation_is_off() -> None:
    spec = TracingSpec.model_validate({"propagate": "off"})
    policy = spec.build(cast(Any, SimpleNamespace(random=random.Random(1))))
    lines = sent(policy, request(traceparent=TRACEPARENT))
    assert set(lines) == {"x-meshproxy-attempt", "x-request-id"}
    assert policy.replaces == {b"x-request-id", b"x-meshproxy-explain"}


@pytest.mark.parametrize(("sample", "flag"), [("0%", "0"), ("100%", "1")])
@pytest.mark.parametrize("said", ["0", "1", "d"])
def test_callers_decide_nothing_where_they_are_not_heeded(
    sample: str, flag: str, said: str
) -> None:
    spec = TracingSpec.model_validate(
        {"propagate": ("b3",), "sample": sample, "heed_callers": False}
    )
    policy = spec.build(cast(Any, SimpleNamespace(random=random.Random(1))))
    lines = sent(policy, request(b3=f"{TRACE}-{SPAN}-{said}"))
    assert lines["b3"].split("-")[0] == TRACE
    assert lines["b3"].split("-")[2] == flag


@pytest.mark.parametrize("formats", [[], ["zipkin"], ["b3", "b3"], "b3", "none"])
def test_a_list_of_formats_that_makes_no_sense_is_refused(formats: list[str]) -> None:
    with pytest.raises(ValidationError):
        TracingSpec.model_validate({"propagate": formats})


class Row:
    """The series of a route, which remembers what is shown to it."""

    def __init__(self) -> None:
        self.seen: list[tuple[Exchange, float]] = []

    def sampled(self, row: int, exchange: Exchange, now: float) -> None:
        self.seen.append((exchange, now))


def admitted(policy: Tracing, **headers: str) -> tuple[Exchange, Row]:
    exchange, row = request(**headers), Row()
    policy.admit(exchange, 1.0)
    exchange.route = cast(Any, SimpleNamespace(series=row, row=0))
    return exchange, row


@pytest.mark.parametrize(
    ("sample", "headers"),
    [("100%", {}), ("0%", {"traceparent": TRACEPARENT}), ("100%", {"b3": f"{TRACE}-{SPAN}"})],
)
def test_a_sampled_exchange_is_shown_to_the_metrics_of_the_route_it_ends_on(
    sample: str, headers: dict[str, str]
) -> None:
    exchange, row = admitted(tracing("tracecontext", "b3", sample=sample), **headers)
    assert row.seen == []
    [release] = exchange.deferred
    release(2.0)
    assert row.seen == [(exchange, 2.0)]
    release(3.0)
    assert len(row.seen) == 1


@pytest.mark.parametrize(
    ("sample", "headers"),
    [("0%", {}), ("100%", {"traceparent": f"00-{TRACE}-{SPAN}-00"}), ("0%", {"b3": "0"})],
)
def test_an_exchange_that_is_not_sampled_leaves_nothing_to_be_done(
    sample: str, headers: dict[str, str]
) -> None:
    exchange, _ = admitted(tracing("tracecontext", "b3", sample=sample), **headers)
    assert exchange.deferred == []


def test_a_sampled_exchange_that_ended_is_not_kept_by_what_it_left_behind() -> None:
    exchange, row = admitted(tracing(sample="100%"))
    [release] = exchange.deferred
    release(2.0)
    row.seen.clear()
    before = sys.getrefcount(exchange)
    exchange.deferred.clear()
    assert sys.getrefcount(exchange) == before
