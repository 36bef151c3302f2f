"""The walk, played without a socket: bytes in on one side, bytes out on the other."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from meshproxy.core.exchange import Exchange
from meshproxy.core.verdict import Failure, Hold, Refusal
from tests.fakes import Client, Stage

ROOT = Path(__file__).resolve().parents[2]
GET = b"GET /a HTTP/1.1\r\nHost: app\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def status(data: bytes) -> int:
    return int(data.split(b" ", 2)[1])


class Again:
    """A retry policy that wants so many more attempts, so far apart."""

    def __init__(self, times: int, delay: float = 0.0) -> None:
        self.times = times
        self.delay = delay
        self.asked: list[object] = []

    def retry(self, exchange: Exchange, now: float) -> float | None:
        self.asked.append(exchange.failure or exchange.status)
        failed = exchange.failure is not None or exchange.status >= 500
        return self.delay if failed and exchange.attempts <= self.times else None


class Notes:
    """Writes down each settled attempt, and what was reserved and handed back."""

    def __init__(self) -> None:
        self.settled: list[object] = []
        self.released = 0

    def admit(self, exchange: Exchange, now: float) -> None:
        exchange.defer(self.release)

    def release(self, now: float) -> None:
        self.released += 1

    def settle(self, exchange: Exchange, now: float) -> None:
        self.settled.append(exchange.failure or exchange.status)


def test_a_request_walks_to_the_upstream_and_its_answer_back() -> None:
    stage, notes = Stage(), Notes()
    stage = Stage([notes])
    client = stage.client()
    client.says(GET)
    up = stage.connect()
    assert up.take() == (
        b"GET /a HTTP/1.1\r\nHost: app\r\nx-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n"
        b"x-forwarded-host: app\r\nvia: 1.1 meshproxy\r\n\r\n"
    )
    stage.time.pass_by(0.25)
    stage.answer(up, OK)
    assert client.hears() == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nserver-timing: meshproxy;dur=250.0\r\n\r\nhi"
    )
    assert (notes.settled, notes.released) == ([200], 1)
    assert [e.status for e in stage.logged] == [200]
    assert stage.endpoints[0].load == 0
    stage.time.pass_by(0.02)
    assert stage.time.pending == 0


def test_one_read_becomes_one_write_on_the_other_side() -> None:
    stage = Stage()
    client = stage.client()
    client.says(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    up = stage.connect()
    assert up.writes == 1
    stage.answer(up, OK)
    assert client.transport.writes == 1


def test_the_second_request_uses_the_same_connection() -> None:
    stage = Stage()
    client = stage.client()
    client.says(GET)
    up = stage.connect()
    stage.answer(up, OK)
    client.says(GET)
    stage.answer(up, OK)
    assert stage.dials == []
    assert client.hears().count(b"200 OK") == 2


def test_a_refused_connection_is_503_uf_and_names_the_endpoint() -> None:
    stage = Stage()
    client = stage.client()
    client.says(GET)
    stage.refuse()
    answer = client.hears()
    assert status(answer) == 503
    assert b"x-meshproxy-reason: UF\r\n" in answer
    assert b"10.0.0.1:80" in answer
    assert stage.endpoints[0].load == 0


def test_a_retry_goes_to_another_endpoint_and_hides_the_failure() -> None:
    again = Again(1)
    stage = Stage([again], endpoints=2)
    client = stage.client()
    client.says(GET)
    stage.refuse()
    assert stage.dials[0].endpoint is stage.endpoints[1]
    stage.answer(stage.connect(), OK)
    assert status(client.hears()) == 200
    assert again.asked == [Failure.CONNECT]
    assert [e.attempts for e in stage.logged] == [2]


def test_a_retry_waits_its_back_off() -> None:
    stage = Stage([Again(1, delay=0.2)])
    client = stage.client()
    client.says(GET)
    stage.refuse()
    stage.time.pass_by(0.19)
    assert stage.dials == []
    stage.time.pass_by(0.02)
    assert len(stage.dials) == 1


def test_a_retry_that_cannot_finish_in_time_is_not_sent() -> None:
    stage = Stage([Again(1, delay=2.0)], timeout=1.0)
    client = stage.client()
    client.says(GET)
    stage.refuse()
    assert status(client.hears()) == 503


def test_a_failing_answer_is_replaced_by_a_better_one() -> None:
    stage = Stage([Again(1)])
    client = stage.client()
    client.says(b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    first = stage.connect()
    assert first.take().endswith(b"\r\n\r\nabc")
    stage.answer(first, b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nnope")
    assert stage.dials == []  # the answer was whole, so its connection serves again
    assert first.take().endswith(b"\r\n\r\nabc")
    stage.answer(first, OK)
    answer = client.hears()
    assert status(answer) == 200
    assert b"nope" not in answer


def test_the_last_failing_answer_is_passed_on_as_it_is() -> None:
    stage = Stage([Again(0)])
    client = stage.client()
    client.says(GET)
    stage.answer(stage.connect(), b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nnope")
    assert client.hears().startswith(b"HTTP/1.1 503 Busy\r\n")


def test_a_stale_connection_is_replaced_by_a_fresh_one() -> None:
    notes = Notes()
    stage = Stage([notes])
    client = stage.client()
    client.says(GET)
    old = stage.connect()
    stage.answer(old, OK)
    client.hears()
    client.says(GET)
    stage.hang_up(old)
    stage.answer(stage.connect(), OK)
    assert status(client.hears()) == 200
    assert notes.settled == [200, Failure.STALE, 200]
    assert [e.attempts for e in stage.logged] == [1, 1]


def test_a_post_on_a_stale_connection_is_never_repeated() -> None:
    stage = Stage([Again(0)])
    client = stage.client()
    client.says(GET)
    old = stage.connect()
    stage.answer(old, OK)
    client.hears()
    client.says(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
    stage.hang_up(old)
    answer = client.hears()
    assert (status(answer), stage.dials) == (503, [])
    assert b"x-meshproxy-reason: UC" in answer


def test_the_call_timeout_is_504_and_drops_the_attempt() -> None:
    stage = Stage(timeout=2.0)
    client = stage.client()
    client.says(GET)
    up = stage.connect()
    stage.time.pass_by(2.01)
    answer = client.hears()
    assert status(answer) == 504
    assert b"x-meshproxy-reason: UT" in answer
    assert up.aborted


def test_a_slow_try_is_replaced_within_the_call() -> None:
    stage = Stage([Again(1)], per_try_timeout=0.5, timeout=2.0)
    client = stage.client()
    client.says(GET)
    slow = stage.connect()
    stage.time.pass_by(0.51)
    assert slow.aborted
    stage.answer(stage.connect(), OK)
    assert status(client.hears()) == 200


def test_a_body_that_streams_is_not_idle() -> None:
    stage = Stage(timeout=0.0, idle_timeout=5.0)
    client = stage.client()
    client.says(GET)
    up = stage.connect()
    stage.answer(up, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na")
    for piece in (b"b", b"c", b"d"):
        stage.time.pass_by(4.0)
        stage.answer(up, piece)
    assert client.hears().endswith(b"abcd")


def test_an_answer_that_stops_moving_is_cut_and_never_completed() -> None:
    stage = Stage(timeout=0.0, idle_timeout=5.0)
    client = stage.client()
    client.says(GET)
    up = stage.connect()
    stage.answer(up, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    stage.time.pass_by(11.0)
    assert up.aborted
    assert not client.hears().endswith(b"0\r\n\r\n")
    assert client.transport.closed


def test_a_client_that_stops_sending_gets_408() -> None:
    stage = Stage(idle_timeout=5.0)
    client = stage.client()
    client.says(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
    stage.connect()
    stage.time.pass_by(10.1)
    answer = client.hears()
    assert status(answer) == 408
    assert b"x-meshproxy-reason: SI" in answer


def test_a_client_that_leaves_cancels_the_attempt() -> None:
    notes = Notes()
    stage = Stage([notes])
    client = stage.client()
    client.says(GET)
    up = stage.connect()
    client.leaves()
    assert up.aborted
    assert (notes.settled, notes.released) == ([Failure.CLIENT_GONE], 1)
    assert [(e.status, e.flags) for e in stage.logged] == [(499, "DC")]


def test_a_client_that_leaves_while_dialling_frees_the_connection_for_another() -> None:
    stage = Stage()
    first, second = stage.client(), stage.client()
    first.says(GET)
    second.says(GET)
    first.leaves()
    up = stage.connect()
    assert up.take().startswith(b"GET /a")
    stage.answer(up, OK)
    assert status(second.hears()) == 200


class Gate:
    """Parks the first exchange."""

    def __init__(self, hold: Hold) -> None:
        self.hold = hold
        self.parked: list[Exchange] = []

    def admit(self, exchange: Exchange, now: float) -> Hold | None:
        if self.parked:
            return None
        self.parked.append(exchange)
        return self.hold


def test_a_parked_exchange_goes_on_when_it_is_woken() -> None:
    gate, notes = Gate(Hold(5.0, Refusal(503, "UO", "full"))), Notes()
    stage = Stage([gate, notes])
    client = stage.client()
    client.says(GET)
    assert stage.dials == []
    wake = gate.parked[0].wake
    assert wake is not None
    wake(stage.time.now)
    stage.answer(stage.connect(), OK)
    assert status(client.hears()) == 200
    assert notes.released == 1


def test_a_parked_exchange_is_refused_when_its_time_is_up() -> None:
    gate = Gate(Hold(5.0, Refusal(503, "UO", "full", retry_after=1.2)))
    stage = Stage([gate])
    client = stage.client()
    client.says(GET)
    stage.time.pass_by(5.0)
    answer = client.hears()
    assert status(answer) == 503
    assert b"retry-after: 2\r\n" in answer


class Closed:
    def eligible(self, endpoint: object, now: float) -> bool:
        return False

    def barred(self, exchange: Exchange, now: float) -> Refusal:
        return Refusal(503, "UO", "open", retry_after=1.0)


@pytest.mark.parametrize(("policies", "reason"), [([Closed()], b"UO"), ([], b"UH")])
def test_no_endpoint_is_503_with_whoever_is_to_blame(policies: list[object], reason: bytes) -> None:
    stage = Stage(policies, endpoints=1 if policies else 0)
    client = stage.client()
    client.says(GET)
    answer = client.hears()
    assert status(answer) == 503
    assert b"x-meshproxy-reason: " + reason in answer


class OpensAfterOne:
    """A breaker without patience."""

    def __init__(self) -> None:
        self.open = False

    def eligible(self, endpoint: object, now: float) -> bool:
        return not self.open

    def settle(self, exchange: Exchange, now: float) -> None:
        self.open = True


def test_a_breaker_that_opens_on_an_answer_leaves_the_caller_that_answer() -> None:
    stage = Stage([OpensAfterOne(), Again(1)])
    client = stage.client()
    client.says(GET)
    stage.answer(stage.connect(), b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nnope")
    assert client.hears().startswith(b"HTTP/1.1 500 Oh\r\n")


def test_a_body_over_the_replay_buffer_is_sent_once() -> None:
    stage = Stage([Again(1)], replay_bytes=4)
    client = stage.client()
    client.says(b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nabcdefgh")
    stage.hang_up(stage.connect())
    assert (status(client.hears()), stage.dials) == (503, [])


def test_interim_answers_are_passed_on_and_a_flood_is_not() -> None:
    stage = Stage()
    client = stage.client()
    client.says(GET)
    up = stage.connect()
    stage.answer(up, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)
    assert client.hears().startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200")
    client.says(GET)
    stage.answer(up, b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9)
    assert b"HTTP/1.1 502 Bad Gateway" in client.hears()


def test_an_upgrade_that_nobody_asked_for_is_502() -> None:
    stage = Stage()
    client = stage.client()
    client.says(GET)
    stage.answer(stage.connect(), b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
    answer = client.hears()
    assert status(answer) == 502
    assert b"UPE" in answer


def make_client(stage: Stage) -> Client:
    return stage.client()


def test_bytes_past_the_answer_close_the_connection() -> None:
    stage = Stage()
    client = make_client(stage)
    client.says(GET)
    up = stage.connect()
    stage.answer(up, OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    assert up.closed
    assert b"evil" not in client.hears()


def test_bytes_on_an_idle_connection_close_it() -> None:
    stage = Stage()
    client = stage.client()
    client.says(GET)
    up = stage.connect()
    stage.answer(up, OK)
    stage.answer(up, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    assert up.aborted
    assert stage.endpoints[0].idle is None


def test_a_silence_is_counted_from_the_last_byte() -> None:
    stage = Stage(idle_timeout=16.0, timeout=0.0)
    client = stage.client()
    client.says(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    up = stage.connect()
    stage.answer(up, b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
    for _ in range(5):
        stage.time.pass_by(3.3)
        stage.answer(up, b"x")
    stage.time.pass_by(15.5)
    assert not client.transport.closed
    stage.time.pass_by(2.0)
    assert client.transport.closed


class Ticket:
    """What a policy reserves for an exchange, which it knows."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def release(self, now: float) -> None:
        pass


class Tickets:
    def admit(self, exchange: Exchange, now: float) -> None:
        exchange.defer(Ticket(exchange).release)


def left_to_the_collector() -> int:
    """Objects of ten exchanges that only the garbage collector could free."""
    stage = Stage([Tickets()])
    stage.conductor.record_by(lambda exchange, now: None)
    client = stage.client()
    client.says(GET)
    up = stage.connect()
    stage.answer(up, OK)
    stage.counts.done.clear()
    gc.collect()
    gc.disable()
    for _ in range(10):
        client.says(GET)
        stage.answer(up, OK)
    stage.time.pass_by(1.0)
    stage.counts.done.clear()
    left = gc.collect()
    assert client.hears().count(b"200 OK") == 11
    return left


def test_an_exchange_that_is_over_is_gone_without_the_collector() -> None:
    """Else thousands of them keep it busy, and the event loop with it.

    In a process of its own: what other tests leave behind is found by whoever collects.
    """
    code = f"from {__name__} import left_to_the_collector as left; print(left())"
    argv = [sys.executable, "-c", code]
    said = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True)
    assert said.stdout == "0\n"
