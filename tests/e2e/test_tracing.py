"""A trace that arrives goes on with a new parent; one that is malformed starts anew.

W3C trace-context level 2 sections 3 and 4; the B3 headers, single and multiple.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from .harness import Client, Message, Origin, Sidecar

CONFIG = """
inbound: {listen: <inbound>, app: http://<app>}
tracing: {propagate: [tracecontext, b3, b3multi], sample: 100%}
"""
NEVER = CONFIG.replace("100%", "0%")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SHAPE = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


@pytest.fixture(scope="module")
def never(app: Origin) -> Iterator[Sidecar]:
    with Sidecar.running(NEVER, app=app.address) as running:
        yield running


def seen(sidecar: Sidecar, origin: Origin, *lines: str) -> Message:
    data = "".join(f"{line}\r\n" for line in ("GET / HTTP/1.1", "Host: a", *lines, ""))
    with Client(sidecar.inbound) as client:
        client.send(data.encode("latin-1"))
        assert client.response().status == 200
    return origin.last


def parts(message: Message) -> tuple[str, str, str]:
    """Trace, parent and flags that the origin was given."""
    match = SHAPE.fullmatch(message.get("traceparent") or "")
    assert match is not None, message.head
    trace, parent, flags = match.groups()
    assert set(trace) != {"0"}
    assert set(parent) != {"0"}
    return trace, parent, flags


def b3(message: Message) -> tuple[str, str, str]:
    """Trace, span and decision of whichever B3 form was written; both must agree."""
    found = []
    if single := message.get("b3"):
        found.append(tuple(single.split("-")[:3]))
    if trace := message.get("x-b3-traceid"):
        # Debug implies the decision, so it takes its place: `d` here, the flags alone there.
        debug = message.get("x-b3-flags") == "1"
        sampled = "d" if debug else message.get("x-b3-sampled") or ""
        found.append((trace, message.get("x-b3-spanid") or "", sampled))
    assert found, message.head
    assert len(set(found)) == 1, found
    trace, span, sampled = found[0]
    return trace, span, sampled


def test_a_request_without_a_trace_starts_one(sidecar: Sidecar, origin: Origin) -> None:
    first, second = parts(seen(sidecar, origin)), parts(seen(sidecar, origin))
    assert first[0] != second[0]
    assert int(first[2], 16) & 1


def test_a_trace_goes_on_with_a_new_parent(sidecar: Sidecar, origin: Origin) -> None:
    message = seen(sidecar, origin, f"traceparent: 00-{TRACE}-{PARENT}-01", "tracestate: a=1,b=2")
    trace, parent, flags = parts(message)
    assert (trace, flags) == (TRACE, "01")
    assert parent != PARENT
    assert [item.strip() for item in (message.get("tracestate") or "").split(",")][-2:] == [
        "a=1",
        "b=2",
    ]


@pytest.mark.parametrize("flags", ["00", "01"])
def test_the_callers_decision_wins(
    sidecar: Sidecar, never: Sidecar, origin: Origin, flags: str
) -> None:
    for each in (sidecar, never):
        message = seen(each, origin, f"traceparent: 00-{TRACE}-{PARENT}-{flags}")
        assert parts(message)[2] == flags


def test_nothing_is_sampled_at_zero_percent(never: Sidecar, origin: Origin) -> None:
    assert {int(parts(seen(never, origin))[2], 16) & 1 for _ in range(50)} == {0}


def test_unknown_flags_are_cleared_and_the_random_one_is_kept(
    sidecar: Sidecar, origin: Origin
) -> None:
    message = seen(sidecar, origin, f"traceparent: 00-{TRACE}-{PARENT}-ff")
    assert parts(message) == (TRACE, parts(message)[1], "03")


def test_a_later_version_is_read_as_far_as_it_is_known(sidecar: Sidecar, origin: Origin) -> None:
    message = seen(sidecar, origin, f"traceparent: cc-{TRACE}-{PARENT}-01-what-the-future-holds")
    assert parts(message)[0] == TRACE


MALFORMED = [
    f"ff-{TRACE}-{PARENT}-01",
    f"00-{'0' * 32}-{PARENT}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE.upper()}-{PARENT}-01",
    f"00-{TRACE}-{PARENT}-01-extra",
    f"00-{TRACE}-{PARENT}",
    f"00-{TRACE[:-1]}-{PARENT}-01",
    f"00-{TRACE}-{PARENT[:-1]}g-01",
    f"00_{TRACE}_{PARENT}_01",
    f"cc-{TRACE}-{PARENT}-01.what",
    "",
    "x",
]


@pytest.mark.parametrize("value", MALFORMED)
def test_a_malformed_trace_is_replaced_with_its_state(
    sidecar: Sidecar, origin: Origin, value: str
) -> None:
    message = seen(sidecar, origin, f"traceparent: {value}", "tracestate: a=1")
    assert parts(message)[0] != TRACE
    assert message.all("tracestate") == []


def test_two_parents_are_malformed(sidecar: Sidecar, origin: Origin) -> None:
    line = f"traceparent: 00-{TRACE}-{PARENT}-01"
    other = f"traceparent: 00-{TRACE[::-1]}-{PARENT}-01"
    assert parts(seen(sidecar, origin, line, other))[0] not in (TRACE, TRACE[::-1])


def test_state_on_two_lines_keeps_its_order(sidecar: Sidecar, origin: Origin) -> None:
    message = seen(
        sidecar,
        origin,
        f"traceparent: 00-{TRACE}-{PARENT}-01",
        "tracestate: a=1,b=2",
        "tracestate: c=3",
    )
    state = ",".join(message.all("tracestate")).replace(" ", "")
    assert state.endswith("a=1,b=2,c=3")


def test_b3_is_written_beside(sidecar: Sidecar, origin: Origin) -> None:
    message = seen(sidecar, origin, f"traceparent: 00-{TRACE}-{PARENT}-01")
    trace, parent, _ = parts(message)
    assert b3(message) == (trace, parent, "1")


@pytest.mark.parametrize(
    ("lines", "sampled"),
    [
        ([f"b3: {TRACE}-{PARENT}-1"], True),
        ([f"b3: {TRACE}-{PARENT}-0"], False),
        ([f"b3: {TRACE}-{PARENT}-d"], True),
        ([f"b3: {TRACE}-{PARENT}-1-05e3ac9a4f6e3b90"], True),
        ([f"X-B3-TraceId: {TRACE}", f"X-B3-SpanId: {PARENT}", "X-B3-Sampled: 1"], True),
        ([f"X-B3-TraceId: {TRACE}", f"X-B3-SpanId: {PARENT}", "X-B3-Sampled: 0"], False),
        ([f"X-B3-TraceId: {TRACE}", f"X-B3-SpanId: {PARENT}", "X-B3-Sampled: true"], True),
        ([f"X-B3-TraceId: {TRACE}", f"X-B3-SpanId: {PARENT}", "X-B3-Flags: 1"], True),
    ],
)
def test_b3_goes_on_in_every_form(
    sidecar: Sidecar, never: Sidecar, origin: Origin, lines: list[str], sampled: bool
) -> None:
    for each in (sidecar, never):
        message = seen(each, origin, *lines)
        trace, parent, flags = parts(message)
        assert (trace, bool(int(flags, 16) & 1)) == (TRACE, sampled)
        assert parent != PARENT
        assert b3(message)[0] == TRACE


def test_a_short_b3_trace_is_the_same_number(sidecar: Sidecar, origin: Origin) -> None:
    message = seen(sidecar, origin, f"b3: {TRACE[16:]}-{PARENT}-1")
    assert int(parts(message)[0], 16) == int(TRACE[16:], 16)


def test_a_lone_denial_is_heard(sidecar: Sidecar, origin: Origin) -> None:
    assert int(parts(seen(sidecar, origin, "b3: 0"))[2], 16) & 1 == 0


@pytest.mark.parametrize(
    "value", ["x", f"{TRACE}", f"{'0' * 32}-{PARENT}-1", f"{TRACE}-{PARENT}-9"]
)
def test_malformed_b3_does_no_harm(sidecar: Sidecar, origin: Origin, value: str) -> None:
    message = seen(sidecar, origin, f"b3: {value}")
    assert b3(message)[:2] == parts(message)[:2]


def test_w3c_wins_over_b3(sidecar: Sidecar, origin: Origin) -> None:
    message = seen(
        sidecar, origin, f"b3: {TRACE[::-1]}-{PARENT}-0", f"traceparent: 00-{TRACE}-{PARENT}-01"
    )
    assert parts(message)[0] == TRACE
    assert b3(message)[0] == TRACE


def test_every_answer_has_a_request_id_of_its_own(sidecar: Sidecar, origin: Origin) -> None:
    ids = {seen(sidecar, origin).get("x-request-id") for _ in range(20)}
    assert None not in ids
    assert len(ids) == 20


def test_a_request_id_with_odd_characters_is_not_passed_on(
    sidecar: Sidecar, origin: Origin
) -> None:
    message = seen(sidecar, origin, f"X-Request-Id: {'x' * 5000}")
    assert len(message.get("x-request-id") or "") <= 256
