"""Workers as real processes: started, asked, found stuck, replaced, sent home."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from meshproxy.fleet.board import Board
from meshproxy.fleet.channel import Channel, ClosedError
from meshproxy.fleet.crew import Crew, Worker
from meshproxy.logic.upkeep import GIVEN_UP, QUIET

Work = Callable[[int, Channel], None]


def obedient(seat: int, channel: Channel) -> None:
    """Answers every question with its seat; leaves when it is told to."""
    while True:
        try:
            for message, _ in channel.receive():
                if message["do"] in ("leave", "drain"):
                    return
                if "id" in message:
                    channel.send({"re": message["id"], "seat": seat})
        except ClosedError:
            return
        time.sleep(0.002)


def sound_asleep(_: int, __: Channel) -> None:
    time.sleep(60.0)


class Yard:
    """A crew with what its supervisor has, and a clock that the test sets."""

    def __init__(self, work: Work = obedient) -> None:
        self.board = Board(4)
        self.selector = selectors.DefaultSelector()
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.heard: list[dict[str, Any]] = []

        def live(seat: int, channel: Channel) -> NoReturn:
            try:
                work(seat, channel)
            finally:
                os._exit(0)

        self.crew = Crew(self.board, self.selector, live, self.tell)

    def tell(self, event: str, **fields: Any) -> None:
        self.told.append((event, fields))

    def events(self) -> list[str]:
        return [event for event, _ in self.told]

    def start(self, count: int, now: float = 100.0) -> list[Worker]:
        self.crew.want(count)
        self.crew.fill(now)
        for worker in self.crew.workers.values():
            worker.ready = True
        return list(self.crew.workers.values())

    def turn(self, until: Callable[[], object], now: float = 100.0) -> None:
        """What a supervisor does all day, until something is so."""
        ends = time.monotonic() + 5.0
        while not until():
            assert time.monotonic() < ends
            for key, events in self.selector.select(0.05):
                what, worker = key.data
                if what == "ended":
                    self.crew.ended(worker, now, b"")
                    continue
                if events & selectors.EVENT_WRITE:
                    self.crew.flush(worker)
                if events & selectors.EVENT_READ:
                    self.heard += self.crew.received(worker)

    def close(self) -> None:
        self.crew.kill()
        self.turn(lambda: not self.crew.workers)
        self.selector.close()


@pytest.fixture
def yard() -> Iterator[Yard]:
    made = Yard()
    yield made
    made.close()


@pytest.fixture
def sleepers() -> Iterator[Yard]:
    made = Yard(sound_asleep)
    yield made
    made.close()


def test_all_are_started_and_answer(yard: Yard) -> None:
    answers: list[int] = []
    for worker in yard.start(3):
        yard.crew.ask(worker, {"do": "who"}, [], lambda said: answers.append(said["seat"]))
    yard.turn(lambda: len(answers) == 3)
    assert sorted(answers) == [0, 1, 2]
    assert [seat.pid for seat in yard.board.seats[:3]] == [
        worker.pid for worker in yard.crew.workers.values()
    ]


def test_one_that_is_killed_is_started_again_at_once_and_whoever_asked_hears_of_it(
    yard: Yard,
) -> None:
    first, _ = yard.start(2)
    answers: list[Any] = []
    os.kill(first.pid, signal.SIGSTOP)
    yard.crew.ask(first, {"do": "who"}, [], answers.append)
    os.kill(first.pid, signal.SIGKILL)
    yard.turn(lambda: answers)
    assert answers == [{"lost": True}]
    assert yard.board.seats[0].pid == 0
    yard.crew.fill(100.0)
    assert yard.crew.workers[0].pid != first.pid
    assert yard.told[-2][1]["signal"] == "SIGKILL"


def test_who_crashes_at_once_has_to_wait(yard: Yard) -> None:
    yard.start(1)
    for _ in range(2):
        yard.crew.kill()
        yard.turn(lambda: not yard.crew.workers)
        yard.crew.fill(100.0)
    assert yard.crew.workers == {}
    yard.crew.fill(101.0)
    assert len(yard.crew.workers) == 1


def test_who_is_too_many_goes_home_and_is_not_missed(yard: Yard) -> None:
    yard.start(3)
    yard.crew.want(1)
    yard.turn(lambda: len(yard.crew.workers) == 1)
    assert yard.events().count("worker_left") == 2
    yard.crew.fill(200.0)
    assert list(yard.crew.workers) == [0]


def test_who_was_sent_home_for_another_is_followed_at_once(yard: Yard) -> None:
    (first,) = yard.start(1)
    for _ in range(3):
        yard.crew.send_home(yard.crew.workers[0])
        yard.turn(lambda: not yard.crew.workers)
        yard.crew.fill(100.0)
    assert yard.crew.workers[0].pid != first.pid


def test_f18_one_that_blocks_is_told_with_its_stack_and_killed(sleepers: Yard) -> None:
    began = time.monotonic()
    (worker,) = sleepers.start(1, began)
    sleepers.crew.look(began)
    time.sleep(0.05)  # until it is asleep
    quiet = [began + step / 10 for step in range(1, 80)]
    for now in quiet:
        sleepers.crew.look(now)
    events = sleepers.told[1:]
    assert [event for event, _ in events] == ["worker_stuck", "worker_killed"]
    assert "sound_asleep" in events[0][1]["stack"]
    assert QUIET <= events[0][1]["seconds"] < 1.0
    assert f"{GIVEN_UP:.0f}." in events[1][1]["detail"]
    assert "sound_asleep" in events[1][1]["stack"]
    sleepers.turn(lambda: not sleepers.crew.workers)
    assert worker.killed


def test_who_slept_itself_kills_nobody(sleepers: Yard) -> None:
    began = time.monotonic()
    (worker,) = sleepers.start(1, began)
    sleepers.crew.look(began)
    sleepers.crew.look(began + 60.0)
    sleepers.crew.look(began + 60.1)
    assert sleepers.events() == ["worker_started"]
    sleepers.board.seats[0].beat = began + 60.2
    sleepers.crew.look(began + 60.3)
    assert not worker.stuck


def test_replacements_leave_nothing_behind(yard: Yard) -> None:
    yard.start(2)
    files = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(20):
        os.kill(yard.crew.workers[number % 2].pid, signal.SIGKILL)
        yard.turn(lambda: len(yard.crew.workers) < 2)
        yard.crew.fill(1000.0 * (number + 1))
    assert len(list(Path("/proc/self/fd").iterdir())) == files


def test_a_line_that_broke_is_no_end_of_the_supervisor(yard: Yard) -> None:
    (worker,) = yard.start(1)
    os.kill(worker.pid, signal.SIGKILL)
    os.waitid(os.P_PIDFD, worker.pidfd, os.WEXITED | os.WNOWAIT)
    # Its end is heard before the end of its line.
    yard.crew.ended(worker, 100.0, b"")
    assert list(yard.crew.received(worker)) == []
    yard.crew.send(worker, {"do": "who"})
    yard.crew.flush(worker)


def test_a_stopped_worker_gets_what_it_missed(yard: Yard) -> None:
    (worker,) = yard.start(1)
    os.kill(worker.pid, signal.SIGSTOP)
    answers: list[Any] = []
    for _ in range(20):
        yard.crew.ask(worker, {"do": "who", "text": "x" * 100_000}, [], answers.append)
    assert worker.channel.unsent
    os.kill(worker.pid, signal.SIGCONT)
    yard.turn(lambda: len(answers) == 20)
    assert not worker.channel.unsent
