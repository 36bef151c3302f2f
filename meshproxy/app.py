"""The composition root: settings, control, data plane and telemetry become one process.

The only place that knows every room, and the only global wiring. `run` is what the command
line calls; `App` is the running sidecar, and what the two HTTP ports show of it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from meshproxy.control import offline, steer
from meshproxy.control.explain import Asked
from meshproxy.control.export import Clocks, Exporter
from meshproxy.control.health import Prober
from meshproxy.control.history import History
from meshproxy.control.lag import Watchdog, stack_of_this_thread
from meshproxy.control.memory import Memory, trim
from meshproxy.control.ports import Ports
from meshproxy.control.reload import Outcome, Reason, Reloader, Source, Standing
from meshproxy.control.strain import Strain
from meshproxy.control.tasks import dated
from meshproxy.control.view import Identity, Listening
from meshproxy.core.checkup import Checked
from meshproxy.core.explanation import Explanation, Question
from meshproxy.core.ledger import Draft, Ledger
from meshproxy.core.report import Sample
from meshproxy.core.route import Endpoint, Plan, Snapshot
from meshproxy.dataplane.conductor import Conductor
from meshproxy.dataplane.dial import Dialer
from meshproxy.dataplane.foresight import foresee
from meshproxy.dataplane.front import Front, Place
from meshproxy.dataplane.kinds import Kinds
from meshproxy.dataplane.listener import bind
from meshproxy.dataplane.pool import Pool
from meshproxy.dataplane.room import Room, descriptors
from meshproxy.dataplane.samples import cluster_samples, listener_samples
from meshproxy.policies import overload, recording, tracing
from meshproxy.settings.compile import Compiled, Tools, compile_snapshot
from meshproxy.settings.errors import ConfigError
from meshproxy.settings.schema import policy
from meshproxy.settings.validate import Settings, validate
from meshproxy.telemetry.access_log import AccessLog
from meshproxy.telemetry.bugs import Bugs
from meshproxy.telemetry.figures import Readings
from meshproxy.telemetry.log import Log
from meshproxy.telemetry.metrics import Telemetry, samples_of
from meshproxy.telemetry.recent import Recent
from meshproxy.telemetry.tap import Tap

SWEEP = 0.25
"""Seconds between two looks at an idle connection, a slow head and the log's buffer."""

TURNS = 10
"""Clients are looked at in so many turns per sweep: 500 that are refused at once would keep all
others waiting for 15 ms.
"""

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
    """The running sidecar; implements `control.view.View`."""

    def __init__(self, source: Source, loop: asyncio.AbstractEventLoop, log: Log) -> None:
        self._loop = loop
        self._log = log
        self._began = time.monotonic()
        self._settings: Settings | None = None
        self._ledger = Ledger()
        self._telemetry = Telemetry()
        self.readings = Readings(self._telemetry, self._began)
        self.recent = Recent()
        # Ids and jitter need to be unlike each other, not secret; the system seeds it.
        self._random = random.Random()  # noqa: S311
        self._access = AccessLog(
            log.write, self._random.random, time.time, log.fixed_form, self.recent.add
        )
        self.bugs = Bugs(log.tell, time.time, time.monotonic)
        self._dialer = Dialer(loop, tell_bug=self.bugs.caught)
        self._pool = Pool(self._dialer, time.monotonic)
        self._conductor = Conductor(time.monotonic, loop.call_later, self._pool, self.bugs.caught)
        self._dialer.settle = self._pool.dialled
        self._pool.conductor = self._conductor
        self._conductor.record_by(self._access.record)
        self.tap = Tap(self._access, self._conductor.record_by, self._random.random, time.monotonic)
        self._room = Room(descriptors())
        self._front = Front(loop, self._conductor, time.monotonic, self._room, log.tell)
        self._ports = Ports(self, bind)
        self._prober = Prober(time.monotonic)
        clocks = Clocks(time.monotonic, time.time_ns, self._random.random)
        self._exporter = Exporter(log.tell, clocks)
        self._watchdog = Watchdog(log.tell_now, stack_of_this_thread())
        self._strain = Strain(Memory().used, trim, self._began)
        self._reloader: Reloader[Prepared] = Reloader(
            source, self._load, self._adopt, log.tell, time.time, self.bugs.caught, self._reloaded
        )
        self.history = History()
        self._leave = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    # ---- config: load, and adopt in one step

    def _load(self, data: bytes, generation: int) -> Prepared:
        settings = validate(data, self._reloader.source, os.environ)
        draft = self._ledger.open()
        tools = Tools(
            series=self._telemetry.series,
            cluster_series=self._telemetry.cluster_series,
            kinds=Kinds,
            random=self._random,
            tell=self._log.tell,
            versioned=self._telemetry.versions.counting,
        )
        compiled = compile_snapshot(settings, draft, tools, time.monotonic(), generation)
        listening = self._front.prepare(compiled.snapshot.plans)
        try:
            serving = self._ports.prepare(_places(settings))
        except OSError:
            for sock in listening.values():
                sock.close()
            raise
        return Prepared(settings, compiled, draft, listening, serving)

    async def _adopt(self, prepared: Prepared) -> None:
        """Everything that traffic sees changes in one step, with no await in it."""
        fresh = self._front.swap(prepared.snapshot.plans, prepared.listening)
        prepared.compiled.adopt()
        gone = self._ledger.keep(prepared.draft)
        self._telemetry.retire(gone)
        for cell in gone:
            if isinstance(cell, Endpoint):
                self._pool.retire(cell)
        self._prober.follow(cell for cell in self.cells() if isinstance(cell, Checked))
        said = policy(prepared.settings.file, overload.OverloadSpec)
        self._strain.follow(*overload.bounds(said, prepared.draft))
        file = prepared.settings.file
        spans = recording.ends(policy(file, tracing.TracingSpec), prepared.draft)
        self._exporter.follow(*spans, (file.service.name, file.service.version))
        self._settings = prepared.settings
        logs = prepared.settings.file.logs
        self._log.configure(logs)
        self._access.configure(logs)
        self._telemetry.speak(prepared.settings.file.metrics.compat, self.identity)
        self._watchdog.follow(logs.slow_loop)
        self._say_room(prepared.settings.file.limits.connections)
        await self._front.open(fresh)
        await self._ports.swap(prepared.serving)

    def _reloaded(self, outcome: Outcome) -> None:
        """What an operator has said by hand holds until the next reload that succeeds."""
        self.history.add(outcome, self.standing.at, self.snapshot and self.snapshot.source)
        ended = steer.release(self.cells(), time.monotonic()) if outcome.ok else []
        if ended:
            self._log.tell("overrides_ended", level="warning", ended=ended)

    def _say_room(self, wanted: int) -> None:
        """The config may ask for more clients than this process has descriptors for."""
        if wanted > self._room.most:
            self._log.tell(
                "connections_capped",
                level="warning",
                wanted=wanted,
                most=self._room.most,
                why="each may need two file descriptors: raise the limit of open files",
            )

    # ---- life

    async def serve(self) -> int:
        """Run until drained; returns the exit code."""
        self._loop.set_exception_handler(self._bug)
        self._loop.set_task_factory(dated(time.monotonic))
        sys.unraisablehook = threading.excepthook = self._bug_elsewhere
        try:
            await self._reloader.begin()
        except (ConfigError, OSError) as error:
            text = str(error) if isinstance(error, ConfigError) else f"{self.source}: {error}"
            print(text, file=sys.stderr)  # noqa: T201  # a person waits for it
            return FAILED
        self._sweep()
        self._spawn(self._reloader.watch())
        self._listen_to_signals()
        deque(self.metrics(openmetrics=True), 0)  # the first page imports for 25 ms: not in traffic
        # What exists now lives as long as the process: keep the collector from walking it.
        gc.collect()
        gc.freeze()
        self._log.tell("ready", listeners=[f"{one.key} {one.address}" for one in self.listeners()])
        await self._leave.wait()
        await self._drain()
        return CLEAN

    def _bug(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:  # noqa: ARG002
        """What nobody caught; the loop goes on."""
        message = context.get("message", "")
        self.bugs.caught(context.get("exception") or message, detail=message)

    def _bug_elsewhere(self, what: Any) -> None:
        """What was raised in a thread of ours, or where Python had nobody to tell."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.bugs.caught, what.exc_value or what.exc_type())

    def _sweep(self, turn: int = 0, due: float = 0.0) -> None:
        now = time.monotonic()
        self._watchdog.beat(now)
        try:
            self._strain.look(due or now, now)
            self._front.sweep(now, TURNS)
            if turn == 0:
                self._pool.sweep(now)
                self.bugs.sweep(now)
                self.readings.keep(now)
                self._log.flush()
        except Exception as error:  # noqa: BLE001  # or nothing would be swept any more
            self.bugs.caught(error)
        due = time.monotonic() + SWEEP / TURNS
        self._loop.call_later(SWEEP / TURNS, self._sweep, (turn + 1) % TURNS, due)

    def _listen_to_signals(self) -> None:
        self._loop.add_signal_handler(
            signal.SIGHUP, lambda: self._spawn(self._reloader.reload("signal"))
        )
        for name in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(name, self._asked_to_end, name)

    def _asked_to_end(self, name: signal.Signals) -> None:
        """The first signal drains; the second ends at once."""
        if self._leave.is_set():
            self._log.tell("forced", level="warning", signal=name.name)
            os._exit(FORCED)
        self.begin_drain()

    async def _drain(self) -> None:
        """Answer what is in flight, for as long as `shutdown.drain` says, then stop."""
        seconds = self._settings.file.shutdown.drain if self._settings else 0.0
        self._log.tell("draining", seconds=seconds, connections=self._front.clients)
        self._front.drain()
        end = time.monotonic() + seconds
        while self._front.clients and time.monotonic() < end:  # noqa: ASYNC110  # with a deadline
            await asyncio.sleep(0.02)
        self._log.tell("stopped", connections_cut=self._front.clients)
        self._front.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._watchdog.close()
        await self._prober.close()
        await self._exporter.close()
        await self._dialer.close()
        self._pool.close()
        await self._ports.close()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._tasks.discard)

    # ---- the view from outside: what the probes, the metrics and the admin port ask

    @property
    def identity(self) -> Identity:
        if self._settings is None:
            return Identity("", "")
        service = self._settings.file.service
        return Identity(service.name, service.version)

    @property
    def source(self) -> str:
        return self._reloader.source

    @property
    def snapshot(self) -> Snapshot | None:
        return self._reloader.snapshot

    @property
    def standing(self) -> Standing:
        return self._reloader.standing

    @property
    def draining(self) -> bool:
        return self._leave.is_set()

    def uptime(self) -> float:
        return time.monotonic() - self._began

    def now(self) -> float:
        return time.monotonic()

    def loop_lag(self) -> float:
        return self._strain.lag

    def cells(self) -> Iterable[Any]:
        return (cell for _, cell in self._ledger.cells())

    def listeners(self) -> Sequence[Listening]:
        return [
            Listening(plan.key, f"{plan.host}:{plan.port}", self._front.accepts(plan))
            for plan in (self.snapshot.plans.values() if self.snapshot else ())
        ]

    def metrics(self, openmetrics: bool) -> Iterator[bytes]:
        return self._telemetry.render(openmetrics, self._samples())

    def _samples(self) -> Iterable[Iterable[Sample]]:
        """In groups, each of one owner: what it tells of is as it was at one moment."""
        yield from samples_of(self.cells())
        yield steer.samples(self.cells())
        yield self._log.samples()
        yield self._strain.samples()
        yield self._watchdog.samples()
        yield self.bugs.samples()
        yield self._exporter.samples()
        yield listener_samples(self._front)
        for cluster in self.snapshot.clusters if self.snapshot else ():
            yield cluster_samples(cluster)
        standing = self.standing
        yield (
            Sample("meshproxy_config_last_reload_successful", (), float(standing.ok)),
            Sample(
                "meshproxy_config_last_reload_success_timestamp_seconds", (), standing.succeeded_at
            ),
            Sample("meshproxy_config_generation", (), float(standing.generation)),
        )

    def stats(self) -> Mapping[str, Any]:
        return {
            "connections": {
                listener.plan.key: len(listener.clients) for listener in self._front.listeners
            },
            **self._telemetry.stats(),
        }

    def explain(self, plan: Plan, question: Question) -> Explanation:
        return foresee(plan, question, time.monotonic())

    async def reload(self, reason: Reason) -> Outcome:
        return await self._reloader.reload(reason)

    def begin_drain(self) -> None:
        self._leave.set()

    def tell(
        self, event: str, /, *, level: str = "info", once_per: float = 0.0, **fields: Any
    ) -> None:
        self._log.tell(event, level=level, once_per=once_per, **fields)

    def set_level(self, level: str) -> None:
        self._log.set_level(level)


def explained(settings: Settings, asked: Asked) -> dict[str, Any]:
    """What a sidecar that has just started on this file would do; nothing is opened."""
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
    maker: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=maker) as runner:

        async def main() -> int:
            return await App(source, asyncio.get_running_loop(), log).serve()

        try:
            return runner.run(main())
        finally:
            log.close()
