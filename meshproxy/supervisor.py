"""The second composition root: a sidecar of several workers, and who looks after them.

One process owns the listening sockets and the config, forks the workers and never touches a
request. It has no event loop: it waits for signals, messages and the end of a worker by one
selector. Every worker is the whole sidecar of `app`, on sockets that it has inherited, so what
one of them accepts it also answers. What they know together is on the `fleet` board.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NoReturn

import orjson

from meshproxy import worker as workers
from meshproxy.app import CLEAN, FAILED, FORCED
from meshproxy.control.reload import Outcome, Reason, Source
from meshproxy.control.rulebook import Rulebook
from meshproxy.dataplane.listener import bind
from meshproxy.fleet.board import SEATS, Board
from meshproxy.fleet.channel import Channel
from meshproxy.fleet.crew import Crew, Worker
from meshproxy.settings.errors import ConfigError
from meshproxy.telemetry import sums
from meshproxy.telemetry.log import Log

TICK = 0.1
"""Seconds between two looks at the workers' beats, and at the file."""

PATIENCE = 5.0
"""Seconds for a worker to adopt a new config; then the others go on without it."""

GRACE = 5.0
"""Seconds beyond `shutdown.drain` after which workers that do not end are killed."""


class Supervisor:
    """Runs until it is told to end."""

    def __init__(self, source: Source, log: Log, level: str | None, form: str | None) -> None:
        self._log = log
        self._given = (level, form)
        self._selector = selectors.DefaultSelector()
        self._rules = Rulebook(source, bind, log.tell, time.time)
        self.board = Board(SEATS)
        self._crew = Crew(self.board, self._selector, self._work, log.tell)
        self._draining = False
        self._drain_ends = 0.0
        self._signals: list[int] = []
        self._code = CLEAN

    def run(self) -> int:
        """Bind, start the workers, and look after them; returns the exit code."""
        try:
            self._rules.begin()
        except (ConfigError, OSError) as error:
            text = str(error) if isinstance(error, ConfigError) else f"{self._rules.name}: {error}"
            print(text, file=sys.stderr)  # noqa: T201  # a person waits for it
            return FAILED
        self._log.configure(self._rules.settings.file.logs)
        workers.preload()
        self._listen_to_signals()
        self._crew.want(self._rules.workers)
        looked = 0.0
        while self._crew.workers or not self._draining:
            now = time.monotonic()
            if not self._draining:
                self._crew.fill(now)
            if now >= looked + TICK:
                looked = now
                self._look(now)
            for key, events in self._selector.select(TICK):
                what, worker = key.data
                self._happened(what, worker, events)
        self._rules.close()
        self._log.tell("stopped", workers=0)
        return self._code

    # What happens

    def _happened(self, what: str, worker: Worker | None, events: int) -> None:
        if worker is None:
            self._signalled()
        elif what == "ended":
            self._ended(worker)
        else:
            if events & selectors.EVENT_WRITE:
                self._crew.flush(worker)
            if events & selectors.EVENT_READ:
                for message in self._crew.received(worker):
                    self._asked(worker, message)

    def _look(self, now: float) -> None:
        self._crew.look(now)
        if self._draining:
            if now >= self._drain_ends:
                for worker in self._crew.workers.values():
                    os.kill(worker.pid, signal.SIGKILL)
                    self._code = FORCED
        elif self._rules.changed(now):
            self._reload("file")
        self._log.flush()

    def _ended(self, worker: Worker) -> None:
        seat = self.board.seats[worker.seat]
        last = seat.dump()
        code = self._crew.ended(worker, time.monotonic())
        if last:
            self.board.ours.publish(_inherited(self.board.ours.dump(), last))
            self.board.ours.pid = os.getpid()
        if self._draining and code != 0:
            self._code = FORCED if code == FORCED else self._code

    # Workers' questions

    def _asked(self, worker: Worker, message: dict[str, Any]) -> None:
        def answer(said: dict[str, Any]) -> None:
            if "id" in message:
                self._crew.send(worker, {"re": message["id"], **said})

        do = message["do"]
        if do == "ready":
            worker.ready = True
            if all(one.ready for one in self._crew.workers.values()):
                self._log.tell("workers_ready", workers=len(self._crew.workers))
        elif do == "reload":
            self._reload(message["reason"], lambda outcome: answer({"outcome": asdict(outcome)}))
        elif do == "drain":
            self._drain()
            answer({})
        elif do == "everyone":
            self._everyone(message["say"], answer, but=worker)
        elif do == "to":
            to = self._crew.workers.get(message["seat"])
            if to is not None:
                self._crew.send(to, message["say"])

    def _everyone(
        self, say: dict[str, Any], answer: Callable[[dict[str, Any]], None], but: Worker | None
    ) -> None:
        """Ask all workers the same (`but` for one); their answers, by seat, when all are here."""
        asked = [one for one in self._crew.workers.values() if one is not but]
        answers: dict[str, Any] = {}
        if not asked:
            answer({"answers": answers})

        def gather(seat: int, said: dict[str, Any]) -> None:
            answers[str(seat)] = said
            if len(answers) == len(asked):
                answer({"answers": answers})

        for one in asked:
            self._crew.ask(one, say, [], lambda said, seat=one.seat: gather(seat, said))  # type: ignore[misc]

    # Reload

    def _reload(self, reason: Reason, done: Callable[[Outcome], None] = lambda _: None) -> None:
        fresh, outcome = self._rules.renew(reason)
        if fresh is None:
            for worker in self._crew.workers.values():
                self._crew.send(worker, {"do": "outcome", "outcome": asdict(outcome)})
            done(outcome)
            return
        say = {"do": "adopt", **self._rules.handed(), "outcome": asdict(outcome)}
        places, files = list(fresh), [sock.fileno() for sock in fresh.values()]
        waiting = {worker.seat for worker in self._crew.workers.values() if not worker.leaving}

        def adopted(seat: int, said: dict[str, Any]) -> None:
            waiting.discard(seat)
            if said.get("error"):
                self._log.tell("worker_refused", level="error", worker=seat, detail=said["error"])
                self._crew.send_home(self._crew.workers[seat])
            if not waiting:
                self._rules.let_go()
                done(outcome)

        for seat in tuple(waiting):
            worker = self._crew.workers[seat]
            self._crew.ask(
                worker, {**say, "places": places}, files,
                lambda said, seat=seat: adopted(seat, said),  # type: ignore[misc]
            )  # fmt: skip
        self._log.configure(self._rules.settings.file.logs)
        self._crew.want(self._rules.workers)
        if not waiting:
            done(outcome)

    # Signals

    def _listen_to_signals(self) -> None:
        read, write = socket.socketpair()
        read.setblocking(False)
        write.setblocking(False)
        signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
        self._wakes = (read, write)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _frame: self._signals.append(number))
        self._selector.register(read, selectors.EVENT_READ, ("signal", None))

    def _signalled(self) -> None:
        self._wakes[0].recv(4096)
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGHUP:
                self._reload("signal")
            elif self._draining:
                self._log.tell("forced", level="warning", signal=signal.Signals(number).name)
                for worker in self._crew.workers.values():
                    os.kill(worker.pid, signal.SIGKILL)
                self._code = FORCED
            else:
                self._drain()

    def _drain(self) -> None:
        """All workers finish what they have; the sockets stay open until the last has left."""
        if self._draining:
            return
        self._draining = True
        seconds = self._rules.settings.file.shutdown.drain
        self._drain_ends = time.monotonic() + seconds + GRACE
        self._log.tell("draining", seconds=seconds, workers=len(self._crew.workers))
        self._crew.want(0)

    # In the child

    def _work(self, seat: int, channel: Channel) -> NoReturn:
        code = FAILED
        try:
            for one in self._wakes:
                one.close()
            code = workers.work(self._rules.hand_over(), self.board, seat, channel, *self._given)
        finally:
            os._exit(code)


def _inherited(before: bytes, last: bytes) -> bytes:
    """What the dead have counted, with one more of them."""
    one = sums.lasting(orjson.loads(last))
    both = sums.joined(orjson.loads(before), one) if before else one
    return orjson.dumps({**both, "seat": -1, "pages": {}, "failures": [0, []]})


def run(source: Source, level: str | None = None, log_format: str | None = None) -> int:
    """Run a sidecar of several workers until it is told to end; returns the exit code."""
    log = Log(sys.stderr.fileno(), level, log_format, time.time)
    try:
        return Supervisor(source, log, level, log_format).run()
    finally:
        log.close()
