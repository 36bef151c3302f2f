"""The composition root: settings, control, data plane and telemetry become one process.

The only place that knows every room. `run` is what the command line calls; `App` is the running
sidecar: `parts` are what it is made of, `shown` is what the two HTTP ports see of it.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvloop

from meshproxy.control import steer, successor  # now: an upgrade changes the files
from meshproxy.control.followed import Followed
from meshproxy.control.memory import trim
from meshproxy.control.notify import Notify
from meshproxy.control.orders import at_terminal
from meshproxy.control.ports import Ports
from meshproxy.control.reload import Outcome, Reloader, Source
from meshproxy.control.rulebook import counted
from meshproxy.control.sockets import Sockets
from meshproxy.control.tasks import dated
from meshproxy.control.view import Identity
from meshproxy.core.checkup import Checked
from meshproxy.core.ledger import Draft
from meshproxy.core.route import Endpoint, Snapshot
from meshproxy.dataplane.front import Place
from meshproxy.dataplane.kinds import Kinds
from meshproxy.dataplane.listener import bind
from meshproxy.dataplane.room import say_capped
from meshproxy.leaving import Leaving, charge_of
from meshproxy.parts import Parts
from meshproxy.policies import overload, recording, tracing
from meshproxy.settings.compile import Compiled, Tools, compile_snapshot
from meshproxy.settings.errors import ConfigError
from meshproxy.settings.schema import policy
from meshproxy.settings.validate import Settings, validate
from meshproxy.shown import Shown
from meshproxy.telemetry.log import Log
from meshproxy.ties import Ending, Ties

if TYPE_CHECKING:
    from meshproxy.control.child import Child
    from meshproxy.control.explain import Asked
    from meshproxy.control.given import Given

SWEEP = 0.25
"""Seconds between two looks at an idle connection, a slow head and the log's buffer."""

TURNS = 10
"""Clients are looked at in so many turns per sweep: 500 that are refused at once would keep all
others waiting for 15 ms.
"""

LOOK_FOR_GARBAGE = 10_000
"""Objects that have come to be, less those that are gone, after which the collector looks."""

TOGETHER = 0.1
"""Seconds until a worker that is told to end tells its supervisor: a service manager may have told
all of us."""

CLEAN, FAILED, FORCED = 0, 1, 2
"""Exit codes of `run`."""


@dataclass(slots=True)
class Prepared:
    """A config that was read, compiled and bound; it changes nothing until it is adopted."""

    settings: Settings
    compiled: Compiled
    draft: Draft
    listening: Mapping[Place, socket.socket]
    serving: Mapping[str, socket.socket]

    @property
    def snapshot(self) -> Snapshot:
        return self.compiled.snapshot


class App:
    """The running sidecar: its config, its life and its end."""

    def __init__(
        self, source: Source, loop: asyncio.AbstractEventLoop, log: Log, ties: Ties | None = None,
        given: Given | None = None,
    ) -> None:  # fmt: skip
        self._loop = loop
        self._log = log
        self._ties = ties
        self._settings: Settings | None = None
        self._sockets = Sockets(bind, os.environ if ties is None else {})
        binds = self._sockets.bind if ties is None else ties.bind
        began = time.monotonic() if ties is None else ties.began
        self.parts = parts = Parts(loop, log, binds, began)
        self._reloader: Reloader[Prepared] | Followed[Prepared] = (
            Reloader(source, self._load, self._adopt, log.tell, time.time, parts.bugs.caught,
                     self.reloaded)
            if ties is None
            else ties.follow(self, self._load, self._adopt)
        )  # fmt: skip
        self.ending = Ending()
        self._tasks: set[asyncio.Task[Any]] = set()
        drain = self.ending.ask if ties is None else ties.drain
        self.shown = Shown(parts, self._reloader, self.ending.asked.is_set, drain)
        self._succession = successor.Succession(
            self._sockets, self._why_no_upgrade, log.tell, self._succeeded
        )
        if isinstance(self._reloader, Reloader):
            self._reloader.held = self._why_held
        self.shown.upgrade = self._succession.run if ties is None else ties.upgrade
        if ties is not None:
            self.shown.company = ties
            parts.counted = ties.counted
        self._ports = Ports(self.shown, binds)
        self._given = given
        self._child: Child | None = None
        self._notify = Notify(os.environ if ties is None else {}, os.getpid())

    # ---- config: load, and adopt in one step

    def _load(self, data: bytes, generation: int) -> Prepared:
        settings = validate(data, self._reloader.source, os.environ)
        draft = self.parts.ledger.open()
        tools = Tools(
            series=self.parts.telemetry.series,
            cluster_series=self.parts.telemetry.cluster_series,
            kinds=Kinds,
            random=self.parts.random,
            tell=self._log.tell,
            versioned=self.parts.telemetry.versions.counting,
            sharing=None if self._ties is None else self._ties.joining(),
        )
        compiled = compile_snapshot(settings, draft, tools, time.monotonic(), generation)
        listening = self.parts.front.prepare(compiled.snapshot.plans)
        try:
            serving = self._ports.prepare(_places(settings))
        except OSError:
            for sock in listening.values():
                sock.close()
            raise
        return Prepared(settings, compiled, draft, listening, serving)

    async def _adopt(self, prepared: Prepared) -> None:
        """Everything that traffic sees changes in one step, with no await in it."""
        fresh = self.parts.front.swap(prepared.snapshot.plans, prepared.listening)
        prepared.compiled.adopt()
        if self._ties is not None:
            self._ties.adopted()
        gone = self.parts.ledger.keep(prepared.draft)
        self.parts.telemetry.retire(gone)
        for cell in gone:
            if isinstance(cell, Endpoint):
                self.parts.pool.retire(cell)
        self.parts.prober.follow(cell for cell in self.shown.cells() if isinstance(cell, Checked))
        said = policy(prepared.settings.file, overload.OverloadSpec)
        self.parts.strain.follow(*overload.bounds(said, prepared.draft))
        file = prepared.settings.file
        spans = recording.ends(policy(file, tracing.TracingSpec), prepared.draft)
        self.parts.exporter.follow(*spans, (file.service.name, file.service.version))
        self._settings = prepared.settings
        logs = prepared.settings.file.logs
        self._log.configure(logs)
        self.parts.access.configure(logs)
        self.shown.identity = Identity(file.service.name, file.service.version)
        self.parts.telemetry.speak(file.metrics.compat, self.shown.identity)
        self.parts.watchdog.follow(logs.slow_loop)
        if self._ties is None:
            say_capped(self._log.tell, file.limits.connections, self.parts.room.most)
            self._say_workers(counted(file.workers))
        await self.parts.front.open(fresh)
        await self._ports.swap(prepared.serving)

    def reloaded(self, outcome: Outcome) -> None:
        """What an operator has said by hand holds until the next reload that succeeds."""
        self.parts.history.add(
            outcome,
            self._reloader.standing.at,
            self._reloader.snapshot and self._reloader.snapshot.source,
        )
        ended = steer.release(self.shown.cells(), time.monotonic()) if outcome.ok else []
        if ended:
            self._log.tell("overrides_ended", level="warning", ended=ended)

    def _say_workers(self, wanted: int) -> None:
        """One process stays one: whoever looks after several must be there before they are."""
        self.shown.pending = f"workers: {wanted} needs a restart, 1 runs" if wanted != 1 else ""
        if self.shown.pending:
            self._log.tell(
                "restart_needed", level="warning", setting="workers", wanted=wanted, running=1
            )

    # ---- life

    async def serve(self) -> int:
        """Run until drained; returns the exit code."""
        self.parts.bugs.listen(self._loop)
        self._loop.set_task_factory(dated(time.monotonic))
        try:
            await self._reloader.begin()
        except (ConfigError, OSError) as error:
            text = (
                str(error)
                if isinstance(error, ConfigError)
                else f"{self._reloader.source}: {error}"
            )
            print(text, file=sys.stderr)  # noqa: T201  # a person waits for it
            return FAILED
        self._sweep()
        if self._ties is not None:
            self._ties.open()
        if isinstance(self._reloader, Reloader):
            self._spawn(self._reloader.watch())
        self._listen_to_signals()
        # What exists now lives as long as the process: keep the collector from walking it. And
        # thousands of requests that wait are no garbage: looked at for every 700 objects more,
        # as is the default, they cost a quarter of the time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(LOOK_FOR_GARBAGE)
        trim()  # of what the start took and gave back: 0.6 MiB where the bytecode was made anew
        self._log.tell(
            "ready", listeners=[f"{one.key} {one.address}" for one in self.shown.listeners()]
        )
        self._sockets.let_go()
        self._notify.ready(self._reloader.source)
        self._sockets.ready()
        if self._given is not None and self._settings is not None:
            from meshproxy.control.child import Child  # most have none

            command = self._given.command(self._settings.file)
            over = functools.partial(self.ending.ask, in_haste=True)
            self._child = Child(command, self._loop, self._log.tell, over)
            self._child.start()
        await self.ending.asked.wait()
        await self._leave()
        return CLEAN if self._child is None else await self._child.code()

    def _sweep(self, turn: int = 0, due: float = 0.0) -> None:
        now = time.monotonic()
        self.parts.watchdog.beat(now)
        try:
            if self._ties is not None:
                self._ties.turn(now)
            self.parts.strain.look(due or now, now)
            self.parts.front.sweep(now, TURNS)
            self._notify.alive(now)
            if turn == 0:
                if self._child is not None:
                    self._child.turn()
                self.parts.pool.sweep(now)
                self.parts.bugs.sweep(now)
                self.parts.readings.keep(now)
                self._log.flush()
        except Exception as error:  # noqa: BLE001  # or nothing would be swept any more
            self.parts.bugs.caught(error)
        due = time.monotonic() + SWEEP / TURNS
        self._loop.call_later(SWEEP / TURNS, self._sweep, (turn + 1) % TURNS, due)

    def _listen_to_signals(self) -> None:
        add = self._loop.add_signal_handler
        if self._ties is not None:  # the supervisor hears them all
            add(signal.SIGTERM, self._loop.call_later, TOGETHER, self._asked_alone)
            return
        add(signal.SIGHUP, lambda: self._spawn(self._reload()))
        if self._given is None:
            add(signal.SIGUSR2, lambda: self._spawn(self._succession.run()))
        for name in (signal.SIGTERM, signal.SIGINT):
            add(name, self._asked_to_end, name)

    def _why_no_upgrade(self) -> str:
        if self.ending.asked.is_set():
            return successor.LEAVING
        return successor.why_not(self._reloader.source, has_command=self._given is not None)

    def _succeeded(self, pid: int) -> None:
        self._notify.main_is(pid)
        self.ending.ask(handed_over=True)

    def _why_held(self) -> str:
        """Why no reload is to be now."""
        if self.ending.asked.is_set():
            return successor.LEAVING
        return successor.UNDER_WAY if self._succession.under_way else ""

    async def _reload(self) -> None:
        self._notify.reloading(time.monotonic())
        await self._reloader.reload("signal")
        self._notify.ready(self._reloader.source)

    def _asked_to_end(self, name: signal.Signals) -> None:
        """The first signal drains, as an order or an upgrade may have done; the second ends."""
        if self.ending.told_again():
            self._log.tell("forced", level="warning", signal=name.name)
            if self._child is not None:
                self._child.end()
            os._exit(FORCED)
        self._log.tell("told_to_end", signal=name.name)
        self.ending.ask(in_haste=name is signal.SIGINT and at_terminal())

    def abandoned(self) -> None:
        """The supervisor is gone: nobody hears signals, nor replaces a worker that dies."""
        if not self.ending.asked.is_set():
            self._log.tell(
                "supervisor_gone",
                level="error",
                why="it was killed or crashed: this worker ends too",
            )
        self.ending.ask()

    def _asked_alone(self) -> None:
        if self._ties is not None and not self.ending.asked.is_set():
            self._ties.leave()

    async def _leave(self) -> None:
        """Drain for as long as `shutdown.drain` says, then stop."""
        seconds = self._settings.file.shutdown.drain if self._settings else 0.0
        ending = self.ending
        if ending.handed_over:
            self._ports.deafen()
        else:
            self._notify.stopping()
        self._succession.abort()
        leaving = Leaving(
            self.parts.front, self._log.tell,
            in_haste=ending.in_haste, handed_over=ending.handed_over,
        )  # fmt: skip
        known = self._child if self._ties is None else self._ties.charge()
        file = self._settings.file if self._settings and not ending.handed_over else None
        await leaving.run(seconds, known or charge_of(file))
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.parts.watchdog.close()
        await self.parts.prober.close()
        await self.parts.exporter.close()
        await self.parts.dialer.close()
        self.parts.pool.close()
        await self._ports.close()
        if self._ties is not None:
            self._ties.close()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._tasks.discard)


def explained(settings: Settings, asked: Asked) -> dict[str, Any]:
    """What a sidecar that has just started on this file would do; nothing is opened."""
    from meshproxy.control import offline  # who serves needs none of this
    from meshproxy.dataplane.foresight import foresee

    return offline.explained(settings, asked, Kinds, foresee)


def _places(settings: Settings) -> dict[str, tuple[str, int]]:
    file = settings.file
    return {
        "metrics": (file.metrics.listen.host, file.metrics.listen.port),
        "admin": (file.admin.listen.host, file.admin.listen.port),
    }


def run(
    source: Source, level: str | None = None, log_format: str | None = None,
    given: Given | None = None,
) -> int:  # fmt: skip
    """Run a sidecar until it is told to end; returns the exit code.

    `level` and `log_format` win over what the file says; `given` is a command to run behind it.
    """
    log = Log(sys.stderr.fileno(), level, log_format, time.time)
    return live(log, lambda loop: App(source, loop, log, given=given).serve())


def live(log: Log, life: Callable[[asyncio.AbstractEventLoop], Awaitable[int]]) -> int:
    """A whole life on an event loop of its own; what it returns."""
    maker: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=maker) as runner:

        async def main() -> int:
            return await life(asyncio.get_running_loop())

        try:
            return runner.run(main())
        finally:
            log.close()
