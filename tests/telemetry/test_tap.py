"""The tap costs nothing while nobody listens, and with listeners no more than they asked for."""

from __future__ import annotations

import dis
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.core.exchange import Exchange
from meshproxy.core.selection import SelectionError
from meshproxy.dataplane.conductor import Conductor
from meshproxy.logic.filter import FIELDS
from meshproxy.telemetry import tap as module
from meshproxy.telemetry.access_log import AccessLog
from meshproxy.telemetry.tap import LISTENERS, READERS, ROOM, CrowdedError, Listener, Record, Tap

from .test_access_log import WALL, exchange, said


class Site:
    """A tap on an access log that writes what is asked for: nothing, if nothing is."""

    def __init__(self, errors: bool = False) -> None:
        self.logged: list[Any] = []
        self.now = 100.1
        self.access = AccessLog(self.logged.append, lambda: 0.5, lambda: WALL)
        self.configure(errors)
        self.record: Record = self.access.record
        self.tap = Tap(self.access, self._record_by, lambda: 0.5, lambda: self.now)
        self.woken = 0

    def configure(self, errors: bool, form: str = "json") -> None:
        self.access.configure(said(form, errors=errors, slower_than=0.0))

    def _record_by(self, record: Record) -> None:
        self.record = record

    def join(self, **words: str) -> Listener:
        return self.tap.join(words, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def ends(self, **fields: Any) -> Exchange:
        made = exchange(**fields)
        self.record(made, self.now)
        return made


def lines(listener: Listener, now: float = 100.0) -> list[Any]:
    return [orjson.loads(line) for line in listener.take(now).splitlines()]


def test_while_nobody_listens_the_log_itself_is_told() -> None:
    site = Site()
    assert site.record == site.access.record
    one, other = site.join(), site.join(filter="status>=500")
    assert site.record != site.access.record
    site.tap.leave(one)
    site.tap.leave(one)
    assert site.record != site.access.record
    site.tap.leave(other)
    assert site.record == site.access.record
    site.ends()
    assert (one.take(1.0), other.take(1.0), site.woken) == (b"", b"", 0)


def test_the_end_of_an_exchange_has_no_step_for_the_tap() -> None:
    """One attribute and one call, as it would be if the log were all that there is."""
    steps = list(dis.get_instructions(Conductor.conclude))
    (at,) = [place for place, step in enumerate(steps) if step.argval == "_record"]
    assert steps[at - 1].argval == "self"
    assert not [step for step in steps if "tap" in str(step.argval)]


def test_a_line_is_that_of_the_log_whether_that_is_written_or_not() -> None:
    site = Site(errors=True)
    listener = site.join()
    site.ends(status=503, flags="UF")
    site.ends()
    bad, good = lines(listener)
    assert site.logged == [bad]
    assert good["status"] == 200
    assert good.keys() == site.access.fields(exchange(), 100.1).keys()


def test_the_form_of_the_log_is_not_that_of_the_tap() -> None:
    site = Site()
    listener = site.join()
    site.configure(errors=True, form="text")
    site.ends(status=503)
    (line,) = lines(listener)
    assert (line["status"], isinstance(site.logged[0], bytes)) == (503, True)


def test_a_reload_changes_the_log_and_not_the_tap() -> None:
    site = Site(errors=True)
    listener = site.join()
    site.configure(errors=False)
    site.ends(status=503)
    assert (len(lines(listener)), site.logged) == (1, [])
    site.configure(errors=True)
    site.ends(status=503)
    assert (len(lines(listener)), len(site.logged)) == (1, 1)


def test_each_gets_what_it_asked_for() -> None:
    site = Site()
    bad, posts = site.join(filter="status>=500"), site.join(filter="method==POST", format="text")
    site.ends(status=503)
    site.ends(status=503, method=b"GET")
    site.ends(status=200)
    assert [line["method"] for line in lines(bad)] == ["POST", "GET"]
    assert [line.split()[2] for line in posts.take(1.0).decode().splitlines()] == ["503", "200"]


def test_a_line_is_made_once_for_all_and_only_if_somebody_wants_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []

    def counted(name: str) -> Callable[[Mapping[str, Any]], bytes]:
        real = getattr(module, name)

        def line(fields: Mapping[str, Any]) -> bytes:
            made.append(name)
            said: bytes = real(fields)
            return said

        return line

    for name in ("json_line", "text_line"):
        monkeypatch.setattr(module, name, counted(name))
    site = Site()
    for form in ("json", "text", "json", "text"):
        site.join(filter="status>=500", format=form)
    site.ends(status=200)
    assert made == []
    site.ends(status=500)
    assert made == ["json_line", "text_line"]


def test_it_is_woken_once_for_what_waits() -> None:
    site = Site()
    listener = site.join()
    site.ends()
    site.ends()
    assert site.woken == 1
    assert len(lines(listener)) == 2
    site.ends()
    assert site.woken == 2


def test_a_slow_reader_loses_lines_and_is_told_how_many() -> None:
    site = Site()
    slow, quick = site.join(rate="10000/s"), site.join(rate="10000/s")
    count = 0
    while slow.lost < 3:
        site.ends(path=b"/" + b"x" * 1000)
        quick.take(site.now)
        site.now += 0.001
        count += 1
    taken = b""
    while piece := slow.take(site.now):
        assert len(piece) < 80_000
        taken += piece
    told = [orjson.loads(line) for line in taken.splitlines()]
    assert [line for line in told if line["event"] == "tap"] == [
        {"event": "tap", "left_out": {"over_rate": 0, "too_slow": 3}}
    ]
    assert len(told) - 1 == slow.sent == count - 3
    assert ROOM - 2000 < len(taken) < ROOM + 100
    assert quick.left_out == (0, 0)
    site.ends()
    assert len(lines(slow)) == 1, "once it reads again, it gets lines again"


def test_what_was_left_out_is_told_once_a_second_and_at_the_end() -> None:
    site = Site()
    listener = site.join(rate="1/s")
    for _ in range(3):
        site.ends()
    assert lines(listener, 100.0)[1] == {
        "event": "tap",
        "left_out": {"over_rate": 2, "too_slow": 0},
    }
    site.ends()
    assert lines(listener, 100.9) == []
    assert [line["left_out"]["over_rate"] for line in lines(listener, 101.0)] == [3]
    assert lines(listener, 102.0) == []
    listener.end("the sidecar has drained")
    assert orjson.loads(listener.last()) == {
        "event": "tap",
        "ended": "the sidecar has drained",
        "told": 1,
        "left_out": {"over_rate": 3, "too_slow": 0},
    }


def test_in_text_what_is_no_request_begins_with_a_hash() -> None:
    site = Site()
    listener = site.join(rate="1/s", format="text")
    site.ends()
    site.ends()
    listener.lost = 4
    assert listener.begin().startswith(b"# time (UTC)")
    said = listener.take(1.0).decode().splitlines()[1]
    assert said == "# left out so far: 1 were more than 1/s, 4 came faster than they are read"
    listener.end("over")
    assert listener.last() == b"# over: 1 told, 5 left out\n"


def test_after_the_limit_no_more_comes() -> None:
    site = Site()
    listener = site.join(limit="2")
    for _ in range(4):
        site.ends()
    assert len(lines(listener)) == 2
    assert listener.ended == "the limit was reached"
    assert orjson.loads(listener.last())["told"] == 2
    assert listener.left_out == (0, 0)


def test_what_waits_at_the_end_can_still_be_taken_and_the_first_reason_counts() -> None:
    site = Site()
    listener = site.join()
    site.ends()
    listener.end("the limit was reached")
    listener.end("the sidecar has drained")
    site.ends()
    assert (listener.ended, len(lines(listener))) == ("the limit was reached", 1)


def test_there_is_room_for_a_few() -> None:
    site = Site()
    listeners = [site.join() for _ in range(LISTENERS)]
    with pytest.raises(CrowdedError, match=f"{LISTENERS} listen already"):
        site.join()
    assert len(site.tap) == LISTENERS
    site.tap.leave(listeners[0])
    site.join()


@pytest.mark.parametrize(
    ("words", "word", "said"),
    [
        ({"fliter": "x"}, "fliter", "tap takes filter, sample, rate, limit, format"),
        ({"format": "xml"}, "format", "json or text"),
        ({"filter": "status="}, "filter", "write =="),
    ],
)
def test_what_is_not_understood_listens_to_nothing(
    words: dict[str, str], word: str, said: str
) -> None:
    site = Site()
    with pytest.raises(SelectionError, match=said) as wrong:
        site.join(**words)
    assert wrong.value.word == word
    assert site.record == site.access.record


TEXTS = ("method", "path", "route", "upstream", "endpoint", "direction", "client", "request_id",
         "trace_id")  # fmt: skip


@given(raw=st.binary(max_size=40), length=st.sampled_from([0, 1, 9000]))
def test_a_filter_sees_what_the_line_says(raw: bytes, length: int) -> None:
    """So nothing that the line hides can be asked for, bit by bit, either."""
    site = Site()
    long = raw + b"x" * length
    made = exchange(
        path=b"/" + long if length else b"", target=b"http://u:hush@a.test/" + long + b"?hush=1",
        method=long, request_id=long, bytes_in=5, bytes_out=7, flags="UF", attempts=3,
        endpoint=SimpleNamespace(name="127.0.0.1:1"),
    )  # fmt: skip
    fields = site.access.fields(made, 100.25)
    for name in (*TEXTS, "status", "reason", "attempts", "bytes_in", "bytes_out"):
        assert READERS[name](made, 100.25) == fields[name]
    for name in ("duration", "first_byte"):
        assert READERS[name](made, 100.25) * 1000 == pytest.approx(fields[f"{name}_ms"], abs=0.001)
    assert READERS.keys() == FIELDS.keys()


def test_where_nothing_came_there_is_no_first_byte_to_compare_with() -> None:
    site = Site()
    never, late = site.join(filter="not first_byte<1s"), site.join(filter="first_byte>=1s")
    site.ends(first_byte=0.0, trace=None)
    assert len(lines(never)) == 1
    assert lines(late) == []
