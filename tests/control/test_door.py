"""The door lets in one whole, unambiguous request per connection, and never a crowd."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.control.door import (
    HEAD_SECONDS,
    HEADERS,
    LIFE,
    LINGER,
    MAX_BODY,
    MAX_FIELDS,
    MAX_HEAD,
    Door,
    Question,
    Room,
    Trouble,
    judge,
)
from tests.fakes import FakeTime

ASK = b"GET /info HTTP/1.1\r\nHost: localhost\r\n"
ASKED = b"GET /info HTTP/1.1\r\nhost: localhost\r\n\r\n"


class Transport:
    """What a door writes, and how its connection ended."""

    def __init__(self) -> None:
        self.written = b""
        self.ended = ""

    def write(self, data: bytes) -> None:
        assert not self.ended
        self.written += data

    def write_eof(self) -> None:
        self.ended = "eof"

    def close(self) -> None:
        self.ended = "closed"

    def is_closing(self) -> bool:
        return bool(self.ended)

    def abort(self) -> None:
        self.ended = "aborted"

    @property
    def status(self) -> int:
        return int(self.written.split(b" ", 2)[1]) if self.written else 0


class Inside(asyncio.Protocol):
    """The server behind the door: remembers what reached it."""

    def __init__(self) -> None:
        self.heard = b""
        self.calls: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("lost")

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")


class Loop:
    """The one thing a door asks of a loop."""

    def __init__(self, time: FakeTime) -> None:
        self.call_later: Callable[..., Any] = time.later


class House:
    """A room with doors that a test opens one by one."""

    def __init__(self, most: int = 4) -> None:
        self.time = FakeTime()
        self.inside: list[Inside] = []
        self.room = Room(cast(Any, Loop(self.time)), self._make, most)

    def _make(self) -> Inside:
        self.inside.append(Inside())
        return self.inside[-1]

    def knock(self) -> tuple[Door, Transport]:
        door, transport = Door(self.room), Transport()
        door.connection_made(cast(Any, transport))
        return door, transport


def told(*sent: bytes) -> tuple[House, Door, Transport]:
    house = House()
    door, transport = house.knock()
    for piece in sent:
        door.data_received(piece)
    return house, door, transport


def test_a_request_goes_in_whole_however_it_came() -> None:
    for pieces in ([ASK + b"\r\n"], [bytes([byte]) for byte in ASK + b"\r\n"]):
        house, _, transport = told(*pieces)
        assert house.inside[0].heard == ASKED
        assert (transport.written, transport.ended) == (b"", "")


def test_only_fields_that_a_page_may_look_at_go_in() -> None:
    more = b"Upgrade: websocket\r\nCookie: \xff\r\nCookie: b\r\nContent-Encoding: br\r\n"
    house, _, _ = told(ASK + more + b"Accept: text/plain \r\naccept: */*\r\n\r\n")
    assert house.inside[0].heard == ASKED[:-2] + b"accept: text/plain, */*\r\n\r\n"


def test_who_stays_is_not_shown_out_and_leaves_by_closing_its_side() -> None:
    house, door, transport = told(ASK + b"\r\n")
    assert door.eof_received() is True
    gone: list[bool] = []
    door.stay(lambda: gone.append(True))
    house.time.pass_by(LIFE * 10)
    assert transport.ended == ""
    assert door.eof_received() is False
    assert gone == []
    door.connection_lost(None)
    assert gone == [True]


def test_a_body_goes_in_as_far_as_its_length() -> None:
    head = b"POST /reload HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n"
    for pieces in ([head + b"bodyGET / "], [head, b"bo", b"dyGET /", b" HTTP/1.1\r\n\r\n"]):
        house, _, _ = told(*pieces)
        assert house.inside[0].heard == head + b"body"


def test_what_follows_a_request_is_no_second_one() -> None:
    second = b"POST /drain HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for pieces in ([ASK + b"\r\n" + second], [ASK + b"\r\n", second]):
        house, _, _ = told(*pieces)
        assert [inside.heard for inside in house.inside] == [ASKED]


REFUSED = [
    (b"GET /info HTTP/1.1\r\n", 400),
    (b"GET /info HTTP/1.1\nHost: a\n\n\r\n", 400),
    (b"GET  /info HTTP/1.1\r\n", 400),
    (b"GET /info\r\n", 400),
    (b"GET /info HTTP/2.0\r\n", 400),
    (b"GET /info HTTP/1.1 \r\n", 400),
    (b"GET http://a.test/info HTTP/1.1\r\n", 400),
    (b"CONNECT a.test:443 HTTP/1.1\r\n", 400),
    (b"OPTIONS * HTTP/1.1\r\n", 400),
    (b"get /info HTTP/1.1\r\n", 400),
    (b"MADEUP /info HTTP/1.1\r\n", 501),
    (b"PROPFIND /info HTTP/1.1\r\n", 501),
    (b"GET /in\xfffo HTTP/1.1\r\n", 400),
    (b"GET /in\x00fo HTTP/1.1\r\n", 400),
    (b"GET /info#a HTTP/1.1\r\n", 400),
    (ASK + b"Host: localhost\r\n", 400),
    (ASK + b"host : a\r\n", 400),
    (ASK + b" folded: a\r\n", 400),
    (ASK + b"X: a\rb\r\n", 400),
    (ASK + b"X: a\nb\r\n", 400),
    (ASK + b"X: a\x00b\r\n", 400),
    (ASK + b"no colon\r\n", 400),
    (ASK + b": empty\r\n", 400),
    (ASK + b"Origin: http://localhost\r\nOrigin: http://a.test\r\n", 400),
    (ASK + b"Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n", 400),
    (ASK + b"Content-Length: 0\r\nContent-Length: 5\r\n", 400),
    (ASK + b"Content-Length: 0\r\nContent-Length: 0\r\n", 400),
    (ASK + b"Content-Length: +5\r\n", 400),
    (ASK + b"Content-Length: 5, 5\r\n", 400),
    (ASK + b"Content-Length: \r\n", 400),
    (ASK + b"Content-Length: 0x5\r\n", 400),
    (ASK + b"Content-Length: -1\r\n", 400),
    (ASK + b"Content-Length: " + b"9" * 40 + b"\r\n", 400),
    (ASK + b"Content-Length: %d\r\n" % (MAX_BODY + 1), 413),
    (ASK + b"Content-Length: 10485760\r\n", 413),
    (ASK + b"Transfer-Encoding: chunked\r\n", 411),
    (ASK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 411),
    (ASK + b"Transfer-Encoding:\x0bchunked\r\n", 400),
    (ASK + b"Transfer_Encoding: chunked\r\nTransfer-Encoding: x\r\n", 411),
    (ASK + b"Expect: a-miracle\r\n", 417),
    (ASK + b"Accept: \xff\r\n", 400),
    (ASK + b"X: y\r\n" * (MAX_FIELDS + 1), 431),
    (b"\r\n" + ASK, 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n", 400),
]


@pytest.mark.parametrize(("head", "status"), REFUSED)
def test_what_is_not_plainly_one_request_stays_outside(head: bytes, status: int) -> None:
    whole = head + b"\r\n"
    for pieces in ([whole], [bytes([byte]) for byte in whole]):
        house, _, transport = told(*pieces)
        assert (house.inside, transport.status, transport.ended) == ([], status, "eof")


def test_an_endless_head_is_refused_before_it_ends() -> None:
    house, door, transport = told(b"GET / HTTP/1.1\r\nX: ")
    for _ in range(MAX_HEAD // 64):
        door.data_received(b"x" * 64)
    assert (house.inside, transport.status) == ([], 431)


def test_a_refusal_says_why_in_json_and_has_every_header() -> None:
    _, _, transport = told(b"GET / HTTP/9.9\r\n\r\n")
    head, _, body = transport.written.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 400 Bad Request"
    assert {f"{name}: {value}" for name, value in HEADERS.items()} <= set(lines)
    assert f"Content-Length: {len(body)}" in lines
    assert "error" in orjson.loads(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_judged(noise: bytes) -> None:
    verdict = judge(b"GET /info HTTP/1.1\r\nHost: a\r\n" + noise)
    assert isinstance(verdict, Trouble) or 0 <= verdict.length <= MAX_BODY


@given(st.lists(st.sampled_from([head for head, _ in REFUSED] + [ASK, b"\r\n", b"\r", b"\n"])))
def test_what_goes_in_is_one_head_and_nothing_more(pieces: list[bytes]) -> None:
    house, _, _ = told(*pieces)
    for inside in house.inside:
        head, _, rest = inside.heard.partition(b"\r\n\r\n")
        assert rest == b""
        assert judge(head) == Question(inside.heard, 0)


def test_a_head_that_does_not_come_is_refused_in_time() -> None:
    house, door, transport = told(b"GET / HTTP/1.1\r\n")
    for _ in range(int(HEAD_SECONDS * 2) - 1):
        house.time.pass_by(0.5)
        door.data_received(b"X: y\r\n")
    assert transport.ended == ""
    house.time.pass_by(0.5)
    assert (transport.status, transport.ended) == (408, "eof")
    house.time.pass_by(LINGER)
    assert transport.ended == "aborted"


def test_what_a_refused_one_still_sends_is_not_read() -> None:
    house, door, transport = told(b"GET / HTTP/9.9\r\n\r\n")
    before = transport.written
    door.data_received(ASK + b"\r\n")
    assert (house.inside, transport.written) == ([], before)


def test_an_answer_that_nobody_reads_is_given_up() -> None:
    house, _, transport = told(ASK + b"\r\n")
    house.time.pass_by(LIFE - 0.1)
    assert transport.ended == ""
    house.time.pass_by(0.1)
    assert transport.ended == "aborted"


def test_an_answer_that_goes_on_is_not_given_up_until_it_has_ended() -> None:
    house, door, transport = told(ASK + b"\r\n")
    door.stay()
    house.time.pass_by(10 * LIFE)
    assert (transport.ended, house.time.pending) == ("", 0)
    door.finish()
    house.time.pass_by(LIFE)
    assert transport.ended == "aborted"
    house, door, transport = told(ASK + b"\r\n")
    door.stay()
    door.abort()
    door.finish()
    assert house.time.pending == 0


def test_whoever_closes_its_side_of_an_answer_that_goes_on_has_left() -> None:
    gone: list[int] = []
    _, door, _ = told(ASK + b"\r\n")
    door.stay(lambda: gone.append(1))
    assert door.eof_received() is False
    door.connection_lost(None)
    assert gone == [1]
    _, door, _ = told(ASK + b"\r\n")
    door.stay(lambda: gone.append(2))
    door.finish()
    assert door.eof_received() is True
    door.connection_lost(None)
    assert gone == [1], "it has ended before"


def test_whoever_has_asked_may_close_its_side() -> None:
    assert told(ASK + b"\r\n")[1].eof_received() is True
    assert told(ASK)[1].eof_received() is False
    assert told(ASK + b"Content-Length: 5\r\n\r\n")[1].eof_received() is False


def test_the_server_behind_hears_of_the_connection() -> None:
    house, door, _ = told(ASK + b"\r\n")
    door.pause_writing()
    door.resume_writing()
    door.connection_lost(None)
    assert house.inside[0].calls == ["made", "pause", "resume", "lost"]
    assert len(house.room) == 0
    house.time.pass_by(LIFE)


def test_before_a_request_there_is_no_server_to_hear_anything() -> None:
    house, door, _ = told(b"GET ")
    door.pause_writing()
    door.resume_writing()
    door.connection_lost(None)
    assert (house.inside, len(house.room)) == ([], 0)


def test_a_full_room_shows_out_who_has_been_silent_longest() -> None:
    house = House(most=3)
    (asking, kept), (_, first), (_, second) = house.knock(), house.knock(), house.knock()
    asking.data_received(ASK + b"\r\n")
    newest, transport = house.knock()
    assert [one.ended for one in (kept, first, second, transport)] == ["", "aborted", "", ""]
    newest.data_received(ASK + b"\r\n")
    assert len(house.inside) == 2
    assert len(house.room) == 3


def test_a_thousand_silent_ones_do_not_keep_a_question_out() -> None:
    house = House(most=64)
    crowd = [house.knock() for _ in range(1000)]
    assert len(house.room) == 64
    assert sum(transport.ended == "aborted" for _, transport in crowd) == 936
    door, _ = house.knock()
    door.data_received(ASK + b"\r\n")
    assert len(house.inside) == 1


def test_where_all_are_being_answered_the_next_is_told_to_come_again() -> None:
    house = House(most=2)
    for _ in range(2):
        house.knock()[0].data_received(ASK + b"\r\n")
    late, transport = house.knock()
    assert (transport.status, transport.ended) == (503, "closed")
    late.data_received(ASK + b"\r\n")
    late.connection_lost(None)
    assert (len(house.inside), len(house.room)) == (2, 2)


def test_closing_waits_for_those_who_have_asked_alone() -> None:
    house = House()
    (door, asking), (_, silent) = house.knock(), house.knock()
    door.data_received(ASK + b"\r\n")
    house.room.close()
    assert (asking.ended, silent.ended) == ("", "aborted")


def test_an_answer_that_takes_its_time_gets_it_on_top() -> None:
    house, door, transport = told(ASK + b"\r\n")
    door.take_time(60.0)
    house.time.pass_by(LIFE + 59.9)
    assert transport.ended == ""
    house.time.pass_by(0.2)
    assert transport.ended == "aborted"
