"""The second composition root: a sidecar of several workers, and who looks after them.

One process owns the listening sockets and the config, forks the workers and never touches a
request. It has no event loop: it waits for signals, messages and the end of a worker by one
selector. Every worker is the whole sidecar of `app`, on sockets that it has inherited, so what
one of them accepts it also answers. What they know together is on the `fleet` board.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from meshproxy import worker as workers
from meshproxy.app import CLEAN, FAILED, FORCED
from meshproxy.control.notify import Notify
from meshproxy.control.orders import DRAIN_INBOUND, at_terminal
from meshproxy.control.reload import Outcome, Reason, Source
from meshproxy.control.rulebook import Rulebook
from meshproxy.control.sockets import Sockets
from meshproxy.control.successor import LEAVING, UNDER_WAY, Watched, why_not
from meshproxy.dataplane.listener import bind
from meshproxy.dataplane.room import Room, descriptors, say_capped
from meshproxy.fleet.board import SEATS, Board
from meshproxy.fleet.channel import Channel
from meshproxy.fleet.crew import Crew, Worker
from meshproxy.logic.drain import Drain
from meshproxy.settings.errors import ConfigError
from meshproxy.telemetry import sums
from meshproxy.telemetry.bugs import Bugs
from meshproxy.telemetry.log import Log

if TYPE_CHECKING:
    from meshproxy.control.child import Ward
    from meshproxy.control.given import Given

TICK = 0.1
"""Seconds between two looks at the workers' beats, and at the file."""

GRACE = 5.0
"""Seconds beyond `shutdown.drain` after which workers that do not end are killed."""


class Supervisor:
    """Runs until it is told to end."""

    def __init__(
        self, source: Source, log: Log, level: str | None, form: str | None,
        given: Given | None = None,
    ) -> None:  # fmt: skip
        self._log = log
        self._given = (level, form)
        self._selector = selectors.DefaultSelector()
        self._bugs = Bugs(log.tell, time.time, time.monotonic)
        self._sockets = Sockets(bind, os.environ)
        self._rules = Rulebook(source, self._sockets.bind, log.tell, time.time, self._bugs.caught)
        self._upgrades: Watched | None = None
        self._told: dict[str, Any] = self._rules.outcome
        self.board = Board(SEATS)
        self._crew = Crew(self.board, self._selector, self._work, log.tell)
        self._looked = 0.0
        self._draining = False
        self._told_to_end = self._turned_away = False
        self._drain_ends = 0.0
        self._signals: list[int] = []
        self._code = CLEAN
        self._forced = False
        self._closes_at = self._dismisses_at = 0.0
        self._child: Ward | None = None
        self._run_child = given
        self._drained: set[int] = set()
        self._notify = Notify(os.environ, os.getpid())
        self._was_ready = False

    def run(self) -> int:
        """Bind, start the workers, and look after them; returns the exit code."""
        try:
            self._rules.begin()
        except (ConfigError, OSError) as error:
            text = str(error) if isinstance(error, ConfigError) else f"{self._rules.name}: {error}"
            print(text, file=sys.stderr)  # noqa: T201  # a person waits for it
            return FAILED
        self._sockets.let_go()
        self._log.configure(self._rules.settings.file.logs)
        workers.preload()
        self._listen_to_signals()
        self._say_room()
        # What exists now lives as long as any worker: no collector walks it, and it stays shared.
        gc.collect()
        gc.freeze()
        self._crew.want(self._rules.workers)
        while self._crew.workers or not self._draining or (self._child and self._child.runs):
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001  # the workers must not end for it
                self._bugs.caught(error)
                time.sleep(TICK)
        self._rules.close()
        self._log.tell("stopped", workers=0)
        if self._child is None or self._child.code is None or self._forced:
            return self._code
        return self._child.code

    # What happens

    def _turn(self) -> None:
        now = time.monotonic()
        if not self._draining:
            self._crew.fill(now)
        if now >= self._looked + TICK:
            self._looked = now
            self._look(now)
        for key, events in self._selector.select(TICK):
            what, worker = key.data
            self._happened(what, worker, events)

    def _happened(self, what: str, worker: Worker | None, events: int) -> None:
        if what == "successor" and self._upgrades is not None:
            self._upgrades.heard()
        elif what == "child" and self._child is not None:
            self._child.heard()
        elif worker is None:
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
        if os.getpid() == 1:
            from meshproxy.control.command import reap  # in a container alone

            reap(frozenset(self._crew.pids() | {self._child.pid if self._child else 0}))
        # Alive as long as one worker is: a service whose every loop stands still is started anew.
        if any(not worker.stuck for worker in self._crew.workers.values()):
            self._notify.alive(now)
        if self._upgrades is not None:
            self._upgrades.look(now)
        if self._draining:
            self._look_at_the_end(now)
        elif not self._why_held() and self._rules.changed(now):
            self._reload("file")
        elif self._rules.outcome is not self._told:
            self._tell_outcome()  # the file cannot be looked at
        self._bugs.sweep(now)
        self._log.flush()

    def _look_at_the_end(self, now: float) -> None:
        if self._closes_at and now >= self._closes_at:
            self._closes_at = 0.0
            self._rules.close_inbound()  # or the kernel would go on to let callers in
        if self._child is not None:
            if now >= self._drain_ends - GRACE:
                self._child.end()
            elif self._drained >= self._crew.workers.keys() or now >= self._dismisses_at:
                self._child.dismiss()
        if now >= self._drain_ends and self._crew.workers:
            self._crew.kill()
            self._code = FORCED

    def _start_child(self) -> None:
        """All workers are ready for the first time: so may the app be started, if it is ours."""
        if self._run_child is None:
            return
        from meshproxy.control.child import Ward  # most have none

        command = self._run_child.command(self._rules.settings.file)
        self._child = Ward(command, self._selector, self._log.tell, self._child_ended)
        self._child.start()

    def _child_ended(self) -> None:
        for worker in self._crew.workers.values():
            self._crew.send(worker, {"do": "app_gone"})
        self._drain(haste=True)

    def _ended(self, worker: Worker) -> None:
        last = self.board.seats[worker.seat].dump()
        if last:
            last = sums.inherited(self.board.ours.dump(), last)
        self._drained.discard(worker.seat)
        code = self._crew.ended(worker, time.monotonic(), last)
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
            took = round(time.monotonic() - worker.began, 3)
            self._log.tell("worker_ready", worker=worker.seat, pid=worker.pid, seconds=took)
            if all(one.ready for one in self._crew.workers.values()):
                self._log.tell("workers_ready", workers=len(self._crew.workers))
                if not self._was_ready and len(self._crew.workers) == self._crew.wanted:
                    self._was_ready = True
                    self._notify.ready(self._rules.name)
                    self._sockets.ready()
                    self._start_child()
        elif do == "reload":
            self._reload(message["reason"], lambda outcome: answer({"outcome": asdict(outcome)}))
        elif do == "drain":
            self._drain()
        elif do == "drained":
            self._drained.add(worker.seat)
        elif do == "leave":
            if not worker.leaving:
                self._crew.send_home(worker)
        elif do == "upgrade":
            self._upgrade(lambda why: answer({"error": why}))
        elif do == "everyone":
            say = message["say"]
            if say["do"] == "order":
                self._rules.ordered(say["order"], say["words"])
                self._turned_away |= say["order"] == DRAIN_INBOUND
            self._crew.ask_all(say, lambda answers: answer({"answers": answers}), but=worker)
        elif do == "to":
            to = self._crew.workers.get(message["seat"])
            if to is not None:
                self._crew.send(to, message["say"])

    # Reload

    def _reload(self, reason: Reason, done: Callable[[Outcome], None] = lambda _: None) -> None:
        why = self._why_held()
        if why:
            done(self._rules.put_off(reason, why))
            return
        fresh, outcome = self._rules.renew(reason)
        if fresh is None:
            self._tell_outcome(lambda: done(outcome))
            return
        handed, files = self._rules.handed()
        self._told = self._rules.outcome  # it is part of that
        waiting = {worker.seat for worker in self._crew.workers.values() if not worker.leaving}

        def adopted(seat: int, said: dict[str, Any]) -> None:
            waiting.discard(seat)
            if said.get("error"):
                self._log.tell("worker_refused", level="error", worker=seat, detail=said["error"])
                self._crew.send_home(self._crew.workers[seat])
            if not waiting:
                over()

        def over() -> None:
            self._rules.let_go()
            if not self._draining:
                self._crew.want(self._rules.workers)
            done(outcome)

        for seat in tuple(waiting):
            worker = self._crew.workers[seat]
            self._crew.ask(worker, {"do": "adopt", **handed}, files, partial(adopted, seat))
        self._log.configure(self._rules.settings.file.logs)
        self._say_room()
        if not self._draining:
            # Who is too many leaves when this is over: the question may be answered by one.
            self._crew.want(max(self._crew.wanted, self._rules.workers))
        if not waiting:
            over()

    def _why_held(self) -> str:
        """Why no reload is to be now: nobody would accept on what it binds."""
        if self._draining:
            return LEAVING
        return UNDER_WAY if self._upgrades is not None and self._upgrades.under_way else ""

    def _tell_outcome(self, done: Callable[[], None] = lambda: None) -> None:
        """After `done` any worker that is asked says the same of the latest reload."""
        self._told = self._rules.outcome
        self._crew.ask_all({"do": "outcome", "outcome": self._told}, lambda _: done())

    def _say_room(self) -> None:
        wanted = self._rules.settings.file.limits.connections
        say_capped(self._log.tell, wanted, Room(descriptors()).most)

    # Signals

    def _listen_to_signals(self) -> None:
        read, write = socket.socketpair()
        read.setblocking(False)
        write.setblocking(False)
        signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
        self._wakes = (read, write)
        others: tuple[signal.Signals, ...] = (signal.SIGUSR2,)
        if self._run_child is not None:
            from meshproxy.control.command import FORWARDED  # most have no command

            others = FORWARDED
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, *others):
            signal.signal(number, lambda number, _frame: self._signals.append(number))
        self._selector.register(read, selectors.EVENT_READ, ("signal", None))

    def _signalled(self) -> None:
        self._wakes[0].recv(4096)
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGHUP:
                self._notify.reloading(time.monotonic())
                self._reload("signal", lambda _: self._notify.ready(self._rules.name))
            elif number not in (signal.SIGTERM, signal.SIGINT):
                if self._child is not None:
                    self._child.signal(number)
                elif self._run_child is None:
                    self._upgrade()
            elif self._told_to_end:
                self._log.tell("forced", level="warning", signal=signal.Signals(number).name)
                self._crew.kill()
                self._code, self._forced = FORCED, True
                if self._child is not None:
                    self._child.end()
            else:
                self._told_to_end = True
                self._log.tell("told_to_end", signal=signal.Signals(number).name)
                self._drain(haste=number == signal.SIGINT and at_terminal())

    def _upgrade(self, done: Callable[[str], None] = lambda _: None) -> None:
        """Start a successor; `done` hears how it went, and the log tells it."""
        if self._upgrades is None:
            tell = self._log.tell
            self._upgrades = Watched(self._sockets, self._selector, tell, self._succeeded)
        why = why_not(self._rules.name, has_command=self._run_child is not None)
        why = LEAVING if self._draining else why
        self._upgrades.start(why, time.monotonic(), done)

    def _succeeded(self, pid: int) -> None:
        self._notify.main_is(pid)
        self._drain(handed_over=True)

    def _drain(self, *, haste: bool = False, handed_over: bool = False) -> None:
        """All workers finish what they have. The sockets stay open until callers are welcome no
        more, those of the outbound direction until the last worker has left."""
        if self._draining:
            return
        self._draining = True
        if handed_over:
            self._rules.close()  # our copies: who waits in the queue is let in by the other
        else:
            self._notify.stopping()
        if self._upgrades is not None:
            self._upgrades.abort()
        file = self._rules.settings.file
        comes = file.inbound is not None and not self._turned_away
        drain = Drain(time.monotonic(), file.shutdown.drain, haste, comes)
        self._drain_ends = drain.ends + GRACE
        self._closes_at, self._dismisses_at = drain.welcomes_until, drain.dismisses_at
        self._log.tell("draining", seconds=drain.seconds, workers=len(self._crew.workers))
        self._crew.drain(haste=haste, handed_over=handed_over)

    # In the child

    def _work(self, seat: int, channel: Channel) -> NoReturn:
        code = FAILED
        try:
            for one in self._wakes:
                one.close()
            code = workers.work(
                self._rules.hand_over(), self.board, seat, channel, *self._given,
                has_child=self._run_child is not None,
            )  # fmt: skip
        finally:
            os._exit(code)


def run(
    source: Source, level: str | None = None, log_format: str | None = None,
    given: Given | None = None,
) -> int:  # fmt: skip
    """Run a sidecar of several workers until it is told to end; returns the exit code."""
    log = Log(sys.stderr.fileno(), level, log_format, time.time)
    try:
        return Supervisor(source, log, level, log_format, given).run()
    finally:
        log.close()
