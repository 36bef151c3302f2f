"""The composition root: settings, control, data plane and telemetry become one process.

The only place that knows every room. `run` is what the command line calls; `App` is the running
sidecar: `parts` are what it is made of, `shown` is what the two HTTP ports see of it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import uvloop

from meshproxy.control import steer
from meshproxy.control.followed import Followed
from meshproxy.control.ports import Ports
from meshproxy.control.reload import Outcome, Reloader, Source
from meshproxy.control.rulebook import counted
from meshproxy.control.tasks import dated
from meshproxy.control.view import Company, Identity
from meshproxy.core.checkup import Checked
from meshproxy.core.ledger import Draft
from meshproxy.core.route import Endpoint, Snapshot
from meshproxy.core.sharing import Sharing
from meshproxy.dataplane.front import Place
from meshproxy.dataplane.kinds import Kinds
from meshproxy.dataplane.listener import bind
from meshproxy.dataplane.room import say_capped
from meshproxy.parts import Parts
from meshproxy.policies import overload, recording, tracing
from meshproxy.settings.compile import Compiled, Tools, compile_snapshot
from meshproxy.settings.errors import ConfigError
from meshproxy.settings.schema import policy
from meshproxy.settings.validate import Settings, validate
from meshproxy.shown import Shown
from meshproxy.telemetry.log import Log
from meshproxy.telemetry.metrics import Telemetry

if TYPE_CHECKING:
    from meshproxy.control.explain import Asked

SWEEP = 0.25
"""Seconds between two looks at an idle connection, a slow head and the log's buffer."""

TURNS = 10
"""Clients are looked at in so many turns per sweep: 500 that are refused at once would keep all
others waiting for 15 ms.
"""

FADE = 1.0
"""Seconds that an idle client of a worker that leaves has for one more question: all others go on,
so whoever asks again after that finds them."""

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


class Ties(Company, Protocol):
    """What ties the app to the other workers of its sidecar; `worker` has it."""

    def bind(self, host: str, port: int) -> socket.socket: ...
    def follow(self, app: App, load: Any, adopt: Any) -> Followed[Any]: ...
    def joining(self) -> Sharing: ...
    def adopted(self) -> None: ...
    def open(self) -> None: ...
    def turn(self, now: float) -> None: ...
    def drain(self) -> None: ...
    def leave(self) -> None: ...
    def close(self) -> None: ...
    def counted(self) -> Telemetry: ...


class App:
    """The running sidecar: its config, its life and its end."""

    def __init__(
        self, source: Source, loop: asyncio.AbstractEventLoop, log: Log, ties: Ties | None = None
    ) -> None:
        self._loop = loop
        self._log = log
        self._ties = ties
        self._settings: Settings | None = None
        binds = bind if ties is None else ties.bind
        self.parts = parts = Parts(loop, log, binds)
        self._reloader: Reloader[Prepared] | Followed[Prepared] = (
            Reloader(source, self._load, self._adopt, log.tell, time.time, parts.bugs.caught,
                     self.reloaded)
            if ties is None
            else ties.follow(self, self._load, self._adopt)
        )  # fmt: skip
        self._leave = asyncio.Event()
        self._retiring = False
        self._tasks: set[asyncio.Task[Any]] = set()
        drain = self._leave.set if ties is None else ties.drain
        self.shown = Shown(parts, self._reloader, self._leave.is_set, drain)
        if ties is not None:
            self.shown.company = ties
            parts.counted = ties.counted
        self._ports = Ports(self.shown, binds)

    def leave(self) -> None:
        """Finish what there is, and end."""
        self._leave.set()

    def retire(self) -> None:
        """The same while other workers go on: who comes from now on is theirs."""
        self.parts.front.fade()
        self._retiring = True
        self._leave.set()

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
        # What exists now lives as long as the process: keep the collector from walking it.
        gc.collect()
        gc.freeze()
        self._log.tell(
            "ready", listeners=[f"{one.key} {one.address}" for one in self.shown.listeners()]
        )
        await self._leave.wait()
        await self._drain()
        return CLEAN

    def _sweep(self, turn: int = 0, due: float = 0.0) -> None:
        now = time.monotonic()
        self.parts.watchdog.beat(now)
        try:
            if self._ties is not None:
                self._ties.turn(now)
            self.parts.strain.look(due or now, now)
            self.parts.front.sweep(now, TURNS)
            if turn == 0:
                self.parts.pool.sweep(now)
                self.parts.bugs.sweep(now)
                self.parts.readings.keep(now)
                self._log.flush()
        except Exception as error:  # noqa: BLE001  # or nothing would be swept any more
            self.parts.bugs.caught(error)
        due = time.monotonic() + SWEEP / TURNS
        self._loop.call_later(SWEEP / TURNS, self._sweep, (turn + 1) % TURNS, due)

    def _listen_to_signals(self) -> None:
        if self._ties is None:
            self._loop.add_signal_handler(
                signal.SIGHUP, lambda: self._spawn(self._reloader.reload("signal"))
            )
        for name in (signal.SIGTERM, signal.SIGINT) if self._ties is None else (signal.SIGTERM,):
            self._loop.add_signal_handler(name, self._asked_to_end, name)

    def _asked_to_end(self, name: signal.Signals) -> None:
        """The first signal drains; the second ends at once."""
        if self._leave.is_set():
            self._log.tell("forced", level="warning", signal=name.name)
            os._exit(FORCED)
        if self._ties is None:
            self._leave.set()
        else:
            self._ties.leave()

    async def _drain(self) -> None:
        """Answer what is in flight, for as long as `shutdown.drain` says, then stop."""
        seconds = self._settings.file.shutdown.drain if self._settings else 0.0
        self._log.tell("draining", seconds=seconds, connections=self.parts.front.clients)
        end = time.monotonic() + seconds
        if self._retiring:
            await self._ports.close()
            # To close on a client that is about to ask would cost it that request.
            faded = min(end, time.monotonic() + FADE)
            while self.parts.front.clients and time.monotonic() < faded:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        self.parts.front.drain()
        while self.parts.front.clients and time.monotonic() < end:  # noqa: ASYNC110  # with a deadline
            await asyncio.sleep(0.02)
        self._log.tell("stopped", connections_cut=self.parts.front.clients)
        self.parts.front.close()
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


def run(source: Source, level: str | None = None, log_format: str | None = None) -> int:
    """Run a sidecar until it is told to end; returns the exit code.

    `level` and `log_format` win over what the file says.
    """
    log = Log(sys.stderr.fileno(), level, log_format, time.time)
    return live(log, lambda loop: App(source, loop, log).serve())


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
