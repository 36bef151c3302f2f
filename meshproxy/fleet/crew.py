"""The workers as the supervisor sees them: started, watched, asked, replaced, sent home.

Forks, and waits for whatever happens next by one selector. Why a worker runs and what it does is
the caller's: `work(seat, channel)` is what the child does, and it never comes back.
"""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

from meshproxy.fleet import stacks
from meshproxy.fleet.board import Board
from meshproxy.fleet.channel import Channel, ClosedError
from meshproxy.logic.upkeep import Health, Starts, health

STARTING = 20.0
"""Seconds that a worker may take until it is ready; only then is its beat looked at."""

DEAF = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""What a worker does not hear: a terminal tells it to all of us, and what it means is for the
supervisor to say, once."""

SLEPT = 0.5
"""Seconds between two looks after which it is us who were held up."""

Tell = Callable[..., None]
Work = Callable[[int, Channel], NoReturn]


@dataclass(slots=True)
class Worker:
    """One process on its seat. `stacks` is the end of a pipe from which its stack can be read."""

    seat: int
    pid: int
    pidfd: int
    channel: Channel
    stacks: int
    began: float
    ready: bool = False
    leaving: bool = False
    stuck: bool = False
    killed: bool = False
    waiting: dict[int, Callable[[dict[str, Any]], None]] = field(default_factory=dict)


class Crew:
    """All workers, by seat."""

    def __init__(self, board: Board, selector: selectors.BaseSelector, work: Work, tell: Tell):
        self._board = board
        self._selector = selector
        self._work = work
        self._tell = tell
        self._starts: dict[int, Starts] = {}
        self._next = 0
        self._looked = 0.0
        self._awake_since = 0.0
        self.workers: dict[int, Worker] = {}
        self.wanted = 0

    # Who is wanted

    def want(self, count: int) -> None:
        """So many from now on; whoever is too many is sent home."""
        self.wanted = count
        self._board.width = max(self._board.width, count)
        for worker in self.workers.values():
            if worker.seat >= count and not worker.leaving:
                self.send_home(worker)

    def fill(self, now: float) -> None:
        """Start whoever is missing and may be started."""
        for seat in range(self.wanted):
            starts = self._starts.setdefault(seat, Starts())
            if seat not in self.workers and now >= starts.due:
                self._start(seat, now)

    def send_home(self, worker: Worker) -> None:
        """Have it finish what it has, and end; what comes now is for the others."""
        worker.leaving = True
        self.send(worker, {"do": "leave"})

    def drain(self, *, haste: bool = False, handed_over: bool = False) -> None:
        """Have all of them finish what they have and what comes meanwhile, and end."""
        self.wanted = 0
        for worker in self.workers.values():
            if not worker.leaving:
                worker.leaving = True
                self.send(worker, {"do": "drain", "haste": haste, "handed_over": handed_over})

    def pids(self) -> set[int]:
        return {worker.pid for worker in self.workers.values()}

    def kill(self) -> None:
        """End whoever is still there."""
        for worker in self.workers.values():
            _kill(worker)

    # One process

    def _start(self, seat: int, now: float) -> None:
        ours, theirs = Channel.pair()
        read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._starts[seat].start(now)
        pid = os.fork()
        if pid == 0:
            self._become(seat, theirs, ours, (read, write))
        theirs.close()
        os.close(write)
        pidfd = os.pidfd_open(pid)
        worker = Worker(seat, pid, pidfd, ours, read, now)
        self.workers[seat] = worker
        self._board.seats[seat].pid = pid
        self._board.seats[seat].beat = now
        self._board.count_joined()
        self._selector.register(ours.fileno(), selectors.EVENT_READ, ("channel", worker))
        self._selector.register(pidfd, selectors.EVENT_READ, ("ended", worker))
        self._tell("worker_started", worker=seat, pid=pid)

    def _become(self, seat: int, theirs: Channel, ours: Channel, pipe: tuple[int, int]) -> NoReturn:
        """In the child: let go of all that is the supervisor's, and go to work."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for number in DEAF:
            signal.signal(number, signal.SIG_IGN)
        self._selector.close()
        ours.close()
        for other in self.workers.values():
            other.channel.close()
            os.close(other.pidfd)
            os.close(other.stacks)
        os.close(pipe[0])
        stacks.listen(pipe[1])
        self._work(seat, theirs)

    def ended(self, worker: Worker, now: float, last: bytes) -> int:
        """Take leave of one that has ended; its exit code, or minus the signal that ended it.

        `last` is what all the dead have counted.
        """
        _, status = os.waitpid(worker.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._selector.unregister(worker.pidfd)
        self._deaf(worker)
        os.close(worker.pidfd)
        os.close(worker.stacks)
        worker.channel.close()
        del self.workers[worker.seat]
        self._board.bury(self._board.seats[worker.seat], last)
        for answer in worker.waiting.values():
            answer({"lost": True})
        if worker.leaving:
            self._tell("worker_left", worker=worker.seat, pid=worker.pid, code=code)
            return code
        pause = self._starts[worker.seat].ended(now)
        self._tell(
            "worker_ended", level="error" if code else "warning", worker=worker.seat,
            pid=worker.pid, code=code, signal=_signal_name(code), again_in_seconds=pause,
        )  # fmt: skip
        return code

    # Messages

    def ask(
        self, worker: Worker, message: Mapping[str, Any], files: list[int],
        answer: Callable[[dict[str, Any]], None],
    ) -> None:  # fmt: skip
        """Send a question; `answer` is called with what comes back, {"lost": True} if it dies."""
        self._next += 1
        worker.waiting[self._next] = answer
        self.send(worker, {**message, "id": self._next}, files)

    def ask_all(
        self, message: dict[str, Any], answer: Callable[[dict[str, Any]], None],
        but: Worker | None = None,
    ) -> None:  # fmt: skip
        """Ask all the same (`but` for one); their answers, by seat, when all are here.

        One that is stuck or has just been started is told, and not waited for.
        """
        told = [one for one in self.workers.values() if one is not but]
        asked = [one for one in told if one.ready and not one.stuck]
        answers: dict[str, Any] = {}
        for one in told:
            if one not in asked:
                self.send(one, message)
        if not asked:
            answer(answers)

        def gather(seat: int, said: dict[str, Any]) -> None:
            answers[str(seat)] = said
            if len(answers) == len(asked):
                answer(answers)

        for one in asked:
            self.ask(one, message, [], partial(gather, one.seat))

    def send(self, worker: Worker, message: dict[str, Any], files: list[int] | None = None) -> None:
        try:
            worker.channel.send(message, files or ())
        except ClosedError:
            return  # that it ended is told by its pidfd
        self._wait_for(worker)

    def flush(self, worker: Worker) -> None:
        try:
            worker.channel.flush()
        except ClosedError:
            self._deaf(worker)
            return
        self._wait_for(worker)

    def _wait_for(self, worker: Worker) -> None:
        """Hear it, and hear when it takes more if there is more."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.channel.unsent else 0)
        at = worker.channel.fileno()
        if at < 0:
            return  # it has ended meanwhile
        known = self._selector.get_map().get(at)
        if known is not None and known.events != events:
            self._selector.modify(at, events, ("channel", worker))

    def _deaf(self, worker: Worker) -> None:
        """Its line is of no use any more: its end comes next, or has come."""
        at = worker.channel.fileno()
        if at >= 0 and self._selector.get_map().get(at) is not None:
            self._selector.unregister(at)

    def received(self, worker: Worker) -> Iterator[dict[str, Any]]:
        """The questions and news that came from a worker; answers go to who waits for them."""
        try:
            for message, files in worker.channel.receive():
                for fd in files:
                    os.close(fd)  # none is expected
                answered = worker.waiting.pop(message.get("re", -1), None)
                if answered is not None:
                    answered(message)
                elif "do" in message:
                    yield message
        except ClosedError:
            self._deaf(worker)

    # Health

    def look(self, now: float) -> None:
        """Whoever does not beat is stuck, and later killed: the others go on meanwhile."""
        if now - self._looked > SLEPT:
            # We were stopped ourselves, and they may have been along with us.
            self._awake_since = now
        self._looked = now
        for worker in self.workers.values():
            if worker.killed or (not worker.ready and now < worker.began + STARTING):
                continue
            age = now - max(self._board.seats[worker.seat].beat, self._awake_since)
            found = health(age)
            if found is Health.LOST:
                self._tell(
                    "worker_killed", level="error", worker=worker.seat, pid=worker.pid,
                    detail=f"its loop has not turned for {age:.1f} s",
                    stack=stacks.at_its_end(worker.pid, worker.stacks),
                )  # fmt: skip
                worker.killed = True
                _kill(worker)  # who could not even tell that
            elif found is Health.STUCK and not worker.stuck:
                self._tell(
                    "worker_stuck", level="error", worker=worker.seat, pid=worker.pid,
                    seconds=round(age, 3), state=stacks.state(worker.pid),
                    stack=stacks.now(worker.pid, worker.stacks),
                )  # fmt: skip
            worker.stuck = found is not Health.WELL


def _kill(worker: Worker) -> None:
    try:
        signal.pidfd_send_signal(worker.pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it has just ended


def _signal_name(code: int) -> str:
    if -code > signal.SIGRTMIN:
        return f"SIGRTMIN+{-code - signal.SIGRTMIN}"
    return signal.Signals(-code).name if code < 0 else ""
