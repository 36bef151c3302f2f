"""What is noted of sampled exchanges, and that the headers name the very spans that are noted."""

from __future__ import annotations

import gc

import pytest

from meshproxy.core.exchange import Exchange
from meshproxy.core.route import Route
from meshproxy.core.spans import Attempt, Record, Spans
from meshproxy.core.verdict import Failure, Refusal, Served
from meshproxy.policies import recording
from meshproxy.policies.tracing import Tracing, TracingSpec
from tests.dataplane.test_races import Hedge
from tests.policies.recording_scene import BAD, GET, OK, Recorded, sent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def traced(*fields: str) -> bytes:
    return GET[:-2] + "".join(f"{field}\r\n" for field in fields).encode() + b"\r\n"


class Again:
    """A retry of whatever fails, so many times."""

    def __init__(self, times: int = 1, delay: float = 0.0) -> None:
        self.times = times
        self.delay = delay

    def retry(self, exchange: Exchange, now: float) -> float | None:
        failed = exchange.failure is not None or exchange.status >= 500
        return self.delay if failed and exchange.attempts <= self.times else None


class Refuses:
    def admit(self, exchange: Exchange, now: float) -> Refusal:
        return Refusal(429, "RL", "too many", "inbound.rate_limits[0] (f.yaml:3)", 2.0)


class Rescues:
    def __init__(self, found: Served | None = None) -> None:
        self.found: Served | Route | None = found

    def rescue(
        self, exchange: Exchange, refusal: Refusal | None, now: float
    ) -> Served | Route | None:
        return self.found


@pytest.mark.parametrize(
    "field",
    [
        f"traceparent: 00-{TRACE}-{SPAN}-01",
        f"b3: {TRACE}-{SPAN}-1",
        f"uber-trace-id: {TRACE}:{SPAN}:0:1",
    ],
)
def test_the_headers_name_the_spans_that_are_noted(field: str) -> None:
    scene = Recorded()
    up = scene.asks(traced(field))
    fields = sent(up)
    up.receives(OK)
    record = scene.record()
    (attempt,) = record.attempts
    server, client = record.span_id.decode(), attempt.span_id.decode()
    assert record.trace_id.decode() == TRACE
    assert record.parent is not None
    assert record.parent.span_id.decode() == SPAN
    assert len({server, client, SPAN}) == 3
    assert fields["traceparent"].startswith(f"00-{TRACE}-{client}-0")
    assert fields["b3"] == f"{TRACE}-{client}-1-{server}"
    assert fields["uber-trace-id"] == f"{TRACE}:{client}:{server}:1"


def test_a_trace_of_our_own_has_random_ids_and_no_parent() -> None:
    scene = Recorded()
    up = scene.asks()
    fields = sent(up)
    up.receives(OK)
    record = scene.record()
    assert record.parent is None
    assert fields["traceparent"].endswith(f"{record.attempts[0].span_id.decode()}-03")
    assert fields["x-meshproxy-attempt"] == "1"


def test_what_the_record_says_of_a_plain_request() -> None:
    scene = Recorded()
    up = scene.asks()
    scene.stage.time.pass_by(0.25)
    up.receives(OK[:-1])
    scene.stage.time.pass_by(0.5)
    up.receives(b"k")
    record = scene.record()
    assert (record.began, record.ended) == (1000.0, 1000.75)
    assert (record.method, record.path, record.host) == (b"GET", b"/a", b"shop")
    assert (record.status, record.flags, record.answered) == (200, "", True)
    assert (record.peer, record.client, record.agent) == ("127.0.0.1", "127.0.0.1", b"me/1")
    assert record.route is scene.stage.route
    assert record.exchange is None
    (attempt,) = record.attempts
    assert (attempt.began, attempt.ended, attempt.status) == (1000.0, 1000.75, 200)
    assert attempt.endpoint is scene.stage.endpoints[0]


def test_no_query_and_no_field_but_the_agent_is_kept() -> None:
    scene = Recorded()
    scene.asks(traced("Authorization: secret", "Cookie: secret")).receives(OK)
    record = scene.record()
    kept = [getattr(record, name, None) for name in record.__slots__]
    assert "secret" not in repr(kept)


def test_of_an_exchange_that_is_not_sampled_nothing_is_noted() -> None:
    scene = Recorded(sample="0%")
    up = scene.asks()
    assert sent(up)["traceparent"].endswith("-02")
    up.receives(OK)
    up = scene.asks_again(traced(f"traceparent: 00-{TRACE}-{SPAN}-00"))
    assert sent(up)["traceparent"].endswith("-00")
    up.receives(OK)
    assert scene.records() == []
    assert len(scene.stage.logged) == 2
    assert all(len(exchange.trace) == 4 for exchange in scene.stage.logged)
    assert not any(exchange.deferred for exchange in scene.stage.logged)


def test_the_headers_of_what_is_not_sampled_are_those_without_export() -> None:
    spec = {"sample": "0%", "propagate": ("tracecontext", "b3")}
    scene = Recorded(sample="0%", formats=("tracecontext", "b3"))
    plain = TracingSpec.model_validate(spec)
    assert scene.policy.replaces == plain.build(scene.scope).replaces
    fields = sent(scene.asks())
    span = fields["traceparent"].split("-")[2]
    assert fields["b3"].split("-")[1:] == [span, "0"]


def test_each_try_is_a_span_of_its_own() -> None:
    scene = Recorded(Again(2, delay=0.5))
    up = scene.asks()
    first = sent(up)
    scene.stage.time.pass_by(0.1)
    up.receives(BAD)
    scene.stage.time.pass_by(0.5)
    second = sent(up)
    up.receives(BAD)
    scene.stage.time.pass_by(0.5)
    third = sent(up)
    up.receives(OK)
    record = scene.record()
    ids = [fields["traceparent"].split("-")[2] for fields in (first, second, third)]
    assert [attempt.span_id.decode() for attempt in record.attempts] == ids
    assert len({*ids, record.span_id.decode()}) == 4
    assert [attempt.status for attempt in record.attempts] == [503, 503, 200]
    times = [(attempt.began, attempt.ended) for attempt in record.attempts]
    assert times == [(1000.0, 1000.1), (1000.6, 1000.6), (1001.1, 1001.1)]


def test_a_stale_connection_is_a_try_that_failed() -> None:
    scene = Recorded()
    up = scene.asks()
    up.receives(OK)
    scene.client.says(GET)
    scene.stage.hang_up(up)
    scene.stage.connect().receives(OK)
    _, record = scene.records()
    assert [attempt.failure for attempt in record.attempts] == [Failure.STALE, None]
    assert len({attempt.span_id for attempt in record.attempts}) == 2


def test_what_is_refused_has_a_server_span_alone() -> None:
    scene = Recorded(Refuses())
    scene.client.says(GET)
    record = scene.record()
    assert record.attempts == []
    assert record.size == 1
    assert record.status == 429
    assert record.refusal is not None
    assert record.refusal.retry_after == 2.0


def test_a_client_that_leaves_ends_both() -> None:
    scene = Recorded()
    scene.asks()
    scene.stage.time.pass_by(0.5)
    scene.client.leaves()
    record = scene.record()
    assert record.flags == "DC"
    assert record.attempts[0].failure is Failure.CLIENT_GONE
    assert record.attempts[0].ended == record.ended == 1000.5


def test_an_answer_that_breaks_off_says_so() -> None:
    scene = Recorded()
    up = scene.asks()
    up.receives(OK[:-1])
    scene.stage.hang_up(up, ConnectionResetError())
    record = scene.record()
    assert record.answered
    assert record.attempts[0].broke == "UC"
    assert record.attempts[0].failure is Failure.TRUNCATED


def test_a_client_that_leaves_in_the_middle_of_an_answer_breaks_it_off() -> None:
    scene = Recorded()
    scene.asks().receives(OK[:-1])
    scene.client.leaves()
    assert scene.record().attempts[0].broke == "DC"


def test_a_written_answer_stands_in() -> None:
    scene = Recorded(Rescues(Served(200, b"", b"sorry")))
    scene.asks().receives(BAD)
    record = scene.record()
    assert (record.status, record.rescued, record.answered) == (200, True, False)
    assert record.attempts[0].status == 503


def test_another_route_that_stands_in_is_of_the_same_trace() -> None:
    rescues = Rescues()
    scene = Recorded(rescues, endpoints=2)
    rescues.found = other = scene.other_route()
    up = scene.asks()
    first = sent(up)
    up.receives(BAD)
    up = scene.stage.connect()
    second = sent(up)
    up.receives(OK)
    record = scene.record()
    assert record.route is scene.stage.route
    assert [attempt.route for attempt in record.attempts] == [scene.stage.route, other]
    assert first["traceparent"].split("-")[1] == second["traceparent"].split("-")[1]
    assert second["traceparent"].split("-")[2] == record.attempts[1].span_id.decode()


def hedged() -> tuple[Recorded, list[object]]:
    scene = Recorded(Hedge(), endpoints=2, timeout=20.0)
    first = scene.asks()
    scene.stage.time.pass_by(1.1)
    return scene, [first, scene.stage.connect()]


def test_a_rival_that_wins_is_a_span_beside_the_first() -> None:
    scene, (first, second) = hedged()
    ids = [sent(up)["traceparent"].split("-")[2] for up in (first, second)]  # type: ignore[arg-type]
    scene.stage.answer(second, OK)  # type: ignore[arg-type]
    record = scene.record()
    assert [attempt.span_id.decode() for attempt in record.attempts] == ids
    assert [attempt.beside for attempt in record.attempts] == [False, True]
    assert [attempt.failure for attempt in record.attempts] == [Failure.OUTRUN, None]
    assert [attempt.status for attempt in record.attempts] == [0, 200]


def test_a_rival_that_loses_is_outrun() -> None:
    scene, (first, _) = hedged()
    scene.stage.answer(first, OK)  # type: ignore[arg-type]
    record = scene.record()
    assert [attempt.failure for attempt in record.attempts] == [None, Failure.OUTRUN]
    assert all(attempt.ended for attempt in record.attempts)


@pytest.mark.parametrize("loser", [0, 1])
def test_one_of_two_that_fails_keeps_its_own_end(loser: int) -> None:
    scene, ups = hedged()
    scene.stage.answer(ups[loser], BAD)  # type: ignore[arg-type]
    scene.stage.time.pass_by(0.5)
    scene.stage.answer(ups[1 - loser], OK)  # type: ignore[arg-type]
    record = scene.record()
    assert record.attempts[loser].status == 503
    assert record.attempts[loser].ended < record.attempts[1 - loser].ended == record.ended
    assert record.attempts[1 - loser].status == 200


def test_a_fetch_for_the_cache_alone_has_a_span_after_its_server_span() -> None:
    class Stale:
        def admit(self, exchange: Exchange, now: float) -> Served | None:
            return Served(200, b"", b"old", refresh=b"if-none-match: x\r\n")

    scene = Recorded(Stale())
    scene.client.says(GET)
    up = scene.stage.connect()
    span = sent(up)["traceparent"].split("-")[2]
    served = scene.record()
    assert served.serves
    assert served.attempts == []
    scene.stage.time.pass_by(0.5)
    up.receives(OK)
    _, alone = scene.records()
    assert not alone.serves
    assert alone.size == 1
    assert (alone.span_id, alone.trace_id) == (served.span_id, served.trace_id)
    assert [attempt.span_id.decode() for attempt in alone.attempts] == [span]
    assert alone.attempts[0].ended == 1000.5


def test_an_unreadable_request_has_a_span_too() -> None:
    scene = Recorded()
    scene.use_for_unmatched()
    scene.client.says(b"GET http://me:secret@x/?secret HTTP/1.1\r\nHost: x\r\n\r\n")
    record = scene.record()
    assert record.status == 400
    assert record.path == b""


def test_the_client_is_whom_trusted_proxies_vouch_for() -> None:
    scene = Recorded(hops=1)
    assert scene.policy.reads == {b"x-forwarded-for"}
    scene.asks(traced("X-Forwarded-For: 9.9.9.9, 10.1.1.1")).receives(OK)
    assert scene.record().client == "10.1.1.1"
    assert Recorded().policy.reads == frozenset()


def test_policies_may_note_what_happens() -> None:
    class Notes:
        def depart(self, exchange: Exchange, now: float) -> None:
            exchange.note("meshproxy.it", now, word="x")

    scene = Recorded(Notes())
    scene.asks().receives(OK)
    assert scene.record().notes == [(1000.0, "meshproxy.it", {"word": "x"})]
    unheard = Recorded(Notes(), sample="0%")
    unheard.asks().receives(OK)
    assert unheard.records() == []


def test_a_record_leaves_no_circle_behind() -> None:
    scene = Recorded()
    scene.asks().receives(OK)
    (exchange,) = scene.stage.logged
    record = exchange.trace[4]
    reached, found = [record], set()
    while reached:
        one = reached.pop()
        if id(one) not in found and not isinstance(one, type):
            found.add(id(one))
            reached += gc.get_referents(one) if isinstance(one, Record | Attempt | list) else ()
    assert id(exchange) not in found


def test_where_export_is_off_nothing_records() -> None:
    assert type(TracingSpec().build(Recorded().scope)) is Tracing
    assert recording.ends(None, Recorded().scope.draft) == (None, None)
    assert recording.ends(TracingSpec(), Recorded().scope.draft) == (None, None)


def test_the_queue_outlives_a_reload() -> None:
    scene = Recorded()
    said = TracingSpec.model_validate({"export": {"url": "http://c", "queue": 100, "batch": 7}})
    spans, delivery = recording.ends(said, scope_draft := scene.scope.draft)
    assert spans is scene.spans is scope_draft.state(recording.CELL, Spans)
    assert delivery is not None
    assert (delivery.url, delivery.queue, delivery.batch) == ("http://c/v1/traces", 100, 7)
