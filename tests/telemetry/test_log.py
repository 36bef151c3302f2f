"""Events become lines, by level and in the format that was asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from meshproxy.telemetry.log import FIELD, KINDS, Clock, Log

WALL = 1_700_000_000.25


class Output:
    """A log on a file, and what stands in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 0.0
        self.fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def log(self, level: str | None = None, form: str | None = None) -> Log:
        return Log(self.fd, level, form, lambda: WALL, lambda: self.now)

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines()

    def events(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.lines()]


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Output]:
    made = Output(tmp_path / "log")
    yield made
    os.close(made.fd)


def said(level: str = "info", form: str = "json") -> Any:
    return SimpleNamespace(level=level, format=form)


def test_an_event_is_a_json_line_at_once(output: Output) -> None:
    output.log().tell("ready", listeners=["inbound 127.0.0.1:15006"])
    assert output.events() == [
        {
            "time": "2023-11-14T22:13:20.250Z",
            "level": "info",
            "event": "ready",
            "listeners": ["inbound 127.0.0.1:15006"],
        }
    ]


def test_an_event_can_be_a_line_for_people(output: Output) -> None:
    log = output.log(form="text")
    log.tell("breaker", level="warning", endpoint="a:1", why="7 in a row", count=7, none=None)
    assert output.lines() == [
        '2023-11-14T22:13:20.250Z WARNING breaker endpoint=a:1 why="7 in a row" count=7 none=null'
    ]


def test_text_cannot_be_broken_into_two_lines(output: Output) -> None:
    output.log(form="text").tell("odd", path="/a\nb", empty="", quoted='"', equal="a=b")
    assert len(output.lines()) == 1
    assert output.lines()[0].endswith(r'odd path="/a\nb" empty="" quoted="\"" equal="a=b"')


def test_lines_below_the_level_are_not_written(output: Output) -> None:
    log = output.log(level="warning")
    log.tell("quiet")
    log.tell("loud", level="warning")
    log.set_level("debug")
    log.tell("detail", level="debug")
    assert [event["event"] for event in output.events()] == ["loud", "detail"]


def test_the_file_sets_level_and_format(output: Output) -> None:
    log = output.log()
    log.configure(said("error", "text"))
    log.tell("quiet", level="warning")
    log.tell("loud", level="error")
    assert len(output.lines()) == 1
    assert " ERROR " in output.lines()[0]


def test_the_command_line_wins_over_the_file(output: Output) -> None:
    log = output.log("debug", "json")
    log.configure(said("error", "text"))
    log.tell("detail", level="debug")
    assert output.events()[0]["level"] == "debug"


def test_a_level_set_while_running_holds_until_the_file_says_another(output: Output) -> None:
    log = output.log()
    log.configure(said("info"))
    log.set_level("debug")
    log.configure(said("info"))
    log.tell("first", level="debug")
    log.configure(said("warning"))
    log.tell("second", level="debug")
    assert [event["event"] for event in output.events()] == ["first"]


def test_an_unknown_level_is_an_error_of_the_caller(output: Output) -> None:
    with pytest.raises(ValueError):
        output.log().set_level("loud")


def test_what_json_cannot_say_is_spelled(output: Output) -> None:
    log = output.log()
    log.tell("odd", path=Path("/a"), name="\udcff")
    log.tell("path", path=Path("/a"))
    first, second = output.events()
    assert "udcff" in first["name"]
    assert second["path"] == "/a"


def test_a_line_is_ascii_and_its_fields_are_bounded(output: Output) -> None:
    for form in ("json", "text"):
        log = output.log(form=form)
        texts = ["\x1b[2J", "\x7f", "\x85", "é", "\u2028", "\u202e", "\U0001f600", "x" * 9000]
        log.tell("odd", word="é", many=texts * 40, inside={"ключ": {"\x7f": 2**70}}, none=None)
    for line in output.path.read_bytes().decode("ascii").splitlines():
        assert line.isprintable()
    found = orjson.loads(output.lines()[0])
    assert found["many"][1:4] == ["\\x7f", "\\x85", "\\xe9"]
    assert len(found["many"][7]) == FIELD
    assert found["many"][-1] == "and 220 more"
    assert len(output.lines()) == 2


def test_what_cannot_be_said_leaves_the_rest_of_its_line_alone(output: Output) -> None:
    output.log().tell("odd", level="error", name="\udcff", count=7, huge=2**80)
    (event,) = output.events()
    assert (event["event"], event["level"], event["count"]) == ("odd", "error", 7)
    assert event["huge"] == str(2**80)


def test_a_repeated_event_is_written_once_in_a_while_with_what_was_left_out(
    output: Output,
) -> None:
    log = output.log()

    def full() -> None:
        log.tell("full", level="warning", once_per=1.0, direction="inbound")

    for _ in range(1000):
        full()
    output.now = 0.99
    full()
    log.flush()
    assert [event.get("left_out") for event in output.events()] == [None]
    output.now = 1.0
    log.flush()
    assert [event.get("left_out") for event in output.events()] == [None, 1000]
    assert output.events()[1]["direction"] == "inbound"
    assert output.events()[1]["level"] == "warning"


def test_a_storm_writes_a_line_a_second_and_counts_every_event(output: Output) -> None:
    log = output.log()
    for tick in range(100):
        output.now = tick / 10
        log.tell("full", once_per=1.0)
        log.flush()
    log.close()
    told = [event.get("left_out", 1) for event in output.events()]
    assert len(told) == 11
    assert sum(told) == 100


def test_after_a_rest_an_event_is_written_at_once_again(output: Output) -> None:
    log = output.log()
    for now in (0.0, 2.0, 4.0):
        output.now = now
        log.flush()
        log.tell("full", once_per=1.0)
    assert [event.get("left_out") for event in output.events()] == [None] * 3


def test_other_fields_are_another_event_up_to_a_bound(output: Output) -> None:
    log = output.log()
    log.tell("full", once_per=1.0, direction="inbound")
    log.tell("full", once_per=1.0, direction="outbound")
    assert len(output.lines()) == 2
    for number in range(1000):
        log.tell("full", once_per=1.0, client=str(number))
    assert len(output.lines()) == KINDS + 1
    output.now = 5.0
    log.flush()
    assert output.events()[-1]["left_out"] == 1000 - (KINDS - 2) - 1


def test_what_is_not_written_at_this_level_is_not_counted_either(output: Output) -> None:
    log = output.log(level="error")
    log.tell("full", once_per=1.0)
    log.set_level("info")
    log.tell("full", once_per=1.0)
    assert [event.get("left_out") for event in output.events()] == [None]


def test_lines_of_others_wait_for_the_batch(output: Output) -> None:
    log = output.log()
    log.write({"time": "t", "level": "info", "event": "request"})
    assert output.lines() == []
    log.close()
    assert len(output.lines()) == 1


def test_lost_lines_are_counted(output: Output) -> None:
    assert [sample.value for sample in output.log().samples()] == [0]


def test_the_clock_is_right_across_seconds() -> None:
    times = iter([1_700_000_000.0, 1_700_000_000.9999, 1_700_000_001.5])
    clock = Clock(lambda: next(times))
    assert [clock.text()[17:] for _ in range(3)] == ["20.000Z", "20.999Z", "21.500Z"]


def test_another_thread_writes_past_the_queue_and_by_the_same_level(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        log = Log(file.fileno(), None, "json", lambda: 0.0)
        log.write({"time": "", "level": "info", "event": "waits"})
        log.tell_now("event_loop_blocked", level="warning", seconds=0.2)
        log.tell_now("detail", level="debug")
        log.close()
    events = [orjson.loads(line)["event"] for line in path.read_text().splitlines()]
    assert events == ["event_loop_blocked", "waits"]
