"""One worker of several: the app of a single process, with ties to the others.

Inherits everything from the supervisor that forked it: bound sockets, the config's bytes, the
board, and one end of a line. What the app asks of the world (bind an address, reload, share a
limit) and what the two ports ask of the other workers is answered by these here.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from meshproxy.app import FAILED, App, live
from meshproxy.control.admin import pages
from meshproxy.control.company import added
from meshproxy.control.followed import Followed
from meshproxy.control.orders import obey
from meshproxy.control.reload import Outcome, Reason
from meshproxy.control.rulebook import Handed
from meshproxy.control.steer import WrongOrderError
from meshproxy.control.watch import Text
from meshproxy.core.report import Sample
from meshproxy.fleet.board import Board
from meshproxy.fleet.channel import Channel, ClosedError
from meshproxy.fleet.member import Joining, Member
from meshproxy.fleet.tie import Message, Tie
from meshproxy.telemetry import sums
from meshproxy.telemetry.bugs import Bugs
from meshproxy.telemetry.log import Log
from meshproxy.telemetry.metrics import Telemetry
from meshproxy.telemetry.recent import Recent
from meshproxy.telemetry.tap import CrowdedError, Listener

PATIENCE = 0.15
"""Seconds for the other workers to publish; one that is stuck or new is shown as it was last."""

LOOK = 0.005
"""Seconds between two looks whether they have."""

TAP = 0.05
"""Seconds in which lines for another worker's tap are gathered."""

Put = Callable[[bytes], None]


class Minded:
    """An app that is the supervisor's child; implements `leaving.Charge`."""

    ours = True

    def __init__(self, drained: Callable[[], None]) -> None:
        self.is_gone = False
        self._drained = drained

    def gone(self) -> bool:
        return self.is_gone

    def dismiss(self) -> None:
        """Our share of its callers has gone."""
        self._drained()

    def end(self) -> None:
        """The supervisor knows the time."""


class Ties:
    """What ties an app to the other workers of its sidecar; implements `control.view.Company`."""

    def __init__(
        self, handed: Handed, board: Board, seat: int, channel: Channel,
        loop: asyncio.AbstractEventLoop, *, has_child: bool = False,
    ) -> None:  # fmt: skip
        self._minded = Minded(lambda: self._tie.tell("drained")) if has_child else None
        self._handed = handed
        self._sockets = dict(handed.sockets)
        self._loop = loop
        self._tie = Tie(channel, loop)
        self.member = Member(board, seat, self._told)
        self._app: App = None  # type: ignore[assignment]  # until it asks for its reloader
        self._followed: Followed[Any] = None  # type: ignore[assignment]  # likewise
        self._joining: Joining | None = None
        self._asked_for_pages = False
        self._heard: list[dict[str, Any]] = []
        self._failed = Recent()
        self._failed_before: dict[int, int] = {}
        self._puts: dict[int, Put] = {}
        self._lent: dict[tuple[int, int], tuple[Listener, asyncio.Task[None]]] = {}
        self._next = 0

    # What the app asks

    def bind(self, host: str, port: int) -> socket.socket:
        """The socket of an address, which the supervisor has bound already."""
        return self._sockets.pop((host, port))

    def follow(self, app: App, load: Any, adopt: Any) -> Followed[Any]:
        """What stands in for the app's own reloader."""
        self._app = app
        first = (self._handed.data, self._handed.generation)
        self._followed = Followed(self._handed.source, first, load, adopt, self._reload, time.time)
        return self._followed

    def joining(self) -> Joining:
        """What the next compile shares."""
        self._joining = self.member.joining()
        return self._joining

    def adopted(self) -> None:
        """What was compiled last is in force."""
        if self._joining is not None:
            self.member.adopt(self._joining)
        while self._sockets:
            # A copy of what is open already, or of what is named no more: nobody accepts on it.
            self._sockets.popitem()[1].close()

    def open(self) -> None:
        """The app serves: tell it, and listen to the supervisor from now on."""
        handlers = {
            "adopt": self._adopt, "outcome": self._outcome, "order": self._order,
            "tap": self._tap, "untap": self._untap, "lines": self._lines,
            "leave": self._leave, "drain": self._drain, "app_gone": self._app_gone,
        }  # fmt: skip
        self._app.shown.recent = self._failed
        if self._handed.outcome:
            self._followed.heard(self._handed.outcome)
        for said in self._handed.orders:
            self._obey(said)
        self._tie.open(handlers, self._app.abandoned, self._app.parts.bugs.caught)
        self._tie.tell("ready")

    def turn(self, now: float) -> None:
        """The loop has turned."""
        self.member.turn(now)

    def close(self) -> None:
        """The last words before the end."""
        self.member.publish(time.monotonic())
        for key in tuple(self._lent):
            self._give_back(key)
        self._tie.close()

    async def upgrade(self) -> str:
        """The supervisor's to do."""
        said = await self._tie.ask("upgrade")
        return str(said["error"])

    def charge(self) -> Minded | None:
        """The app, where it is the supervisor's child."""
        return self._minded

    def drain(self) -> None:
        """One worker was asked: all of them are meant."""
        self._tie.tell("drain")

    def leave(self) -> None:
        """This worker alone was asked to end: the supervisor replaces it, or ends them all."""
        self._tie.tell("leave")

    # What the ports ask of the others

    @property
    def began(self) -> float:
        return self.member.board.began

    @property
    def pid(self) -> int:
        return self.member.board.maker

    def workers(self) -> Sequence[int]:
        return [seat.pid for seat in self.member.board.seats if seat.pid]

    async def gather(self) -> None:
        board, others = self.member.board, self.member.others
        before = [(seat, seat.version) for seat in others if seat.pid]
        board.ask()
        end = self._loop.time() + PATIENCE
        # Other processes have no event that could be awaited.
        while self._loop.time() < end and any(seat.version == old for seat, old in before):  # noqa: ASYNC110
            await asyncio.sleep(LOOK)  # other processes have no event for it
        self._heard = [orjson.loads(dump) for dump in self.member.dumps() if dump]
        self._take_failures()

    def counted(self) -> Telemetry:
        """The counts of all of them."""
        return sums.whole(self._app.parts.telemetry, self._heard)

    def samples(self) -> Iterable[Iterable[Sample]]:
        return sums.samples_of(self._heard)

    def added(self, page: str, ours: Any) -> Any:
        for one in self._heard:
            if page in one.get("pages", ()):
                ours = added(ours, one["pages"][page])
        return ours

    async def spread(self, order: str, words: Mapping[str, str]) -> None:
        await self._everyone({"do": "order", "order": order, "words": dict(words)})

    async def listen(self, words: Mapping[str, str], put: Put) -> Callable[[], None]:
        self._next += 1
        number = self._next
        self._puts[number] = put
        say = {"seat": self.member.number, "number": number}
        await self._everyone({"do": "tap", **say, "words": dict(words)})

        def hang_up() -> None:
            self._puts.pop(number, None)
            self._tie.tell("everyone", say={"do": "untap", **say})

        return hang_up

    async def _everyone(self, say: Message) -> None:
        try:
            await self._tie.ask("everyone", say=say)
        except ClosedError:
            pass  # the supervisor is gone, and so we are soon

    # What is told to the others

    def _told(self) -> bytes:
        if self._app is None:  # the first turn of the loop, before anything is in force
            return b""
        told = sums.told(self._app.parts.telemetry, self._app.shown.samples())
        told["seat"] = self.member.number
        if self.member.asked:
            recent = self._app.parts.recent
            told["pages"] = pages(self._app.shown)
            told["failures"] = [recent.latest, recent.since(0, recent.latest)]
        return orjson.dumps(told, default=str, option=orjson.OPT_NON_STR_KEYS)

    def _take_failures(self) -> None:
        """Those that were not seen yet, ours among them, to where all are shown."""
        recent = self._app.parts.recent
        ours = {
            "seat": self.member.number,
            "failures": [recent.latest, recent.since(0, recent.latest)],
        }
        for told in (ours, *self._heard):
            latest, several = told.get("failures", (0, ()))
            before = self._failed_before.get(told["seat"], 0)
            self._failed_before[told["seat"]] = latest
            # One that has begun anew counts from 1 on.
            fresh = latest - before if latest >= before else latest
            for fields in several[max(0, len(several) - fresh) :]:
                self._failed.add({**fields, "time": fields["at"]})

    # What the supervisor says

    async def _reload(self, reason: Reason) -> Outcome:
        return _outcome((await self._tie.ask("reload", reason=reason))["outcome"])

    async def _adopt(self, message: Message, files: list[int]) -> Message:
        for (host, port), fd in zip(message["places"], files, strict=True):
            self._sockets[host, port] = socket.socket(fileno=fd)
        error = await self._followed.follow(
            message["data"].encode("latin-1"), message["generation"]
        )
        if not error:
            await self._outcome(message, [])
        return {"error": error}

    async def _outcome(self, message: Message, files: list[int]) -> Message:  # noqa: ARG002
        said = dict(message["outcome"])
        self._followed.heard(said)
        del said["at"]
        self._app.reloaded(_outcome(said))
        return {}

    async def _app_gone(self, message: Message, files: list[int]) -> Message:  # noqa: ARG002
        if self._minded is not None:
            self._minded.is_gone = True
        return {}

    async def _order(self, message: Message, files: list[int]) -> Message:  # noqa: ARG002
        return self._obey(message)

    def _obey(self, said: Mapping[str, Any]) -> Message:
        try:
            return {"done": obey(self._app.shown, said["order"], said["words"])}
        except WrongOrderError as error:
            return {"error": str(error)}

    async def _leave(self, message: Message, files: list[int]) -> Message:  # noqa: ARG002
        self._app.ending.ask(handed_over=True)  # to the others, who go on
        return {}

    async def _drain(self, message: Message, files: list[int]) -> Message:  # noqa: ARG002
        self._app.ending.ask(in_haste=message["haste"], handed_over=message["handed_over"])
        return {}

    async def _tap(self, message: Message, files: list[int]) -> Message:  # noqa: ARG002
        """Another worker has a listener: lend it our ear."""
        awake = asyncio.Event()
        key = (message["seat"], message["number"])
        try:
            listener = self._app.parts.tap.join(message["words"], awake.set)
        except CrowdedError as error:
            return {"error": str(error)}
        self._lent[key] = listener, self._loop.create_task(self._pass_on(key, listener, awake))
        return {}

    async def _pass_on(
        self, key: tuple[int, int], listener: Listener, awake: asyncio.Event
    ) -> None:
        seat, number = key
        while not listener.ended:
            await awake.wait()
            awake.clear()
            await asyncio.sleep(TAP)
            while lines := listener.take(self._loop.time()):
                say = {"do": "lines", "number": number, "lines": lines.decode(errors="replace")}
                self._tie.tell("to", seat=seat, say=say)

    async def _untap(self, message: Message, files: list[int]) -> Message:  # noqa: ARG002
        self._give_back((message["seat"], message["number"]))
        return {}

    def _give_back(self, key: tuple[int, int]) -> None:
        listener, task = self._lent.pop(key, (None, None))
        if listener is not None and task is not None:
            self._app.parts.tap.leave(listener)
            task.cancel()

    async def _lines(self, message: Message, files: list[int]) -> Message:  # noqa: ARG002
        put = self._puts.get(message["number"])
        if put is not None:
            for line in message["lines"].encode().splitlines(keepends=True):
                put(line)
        return {}


def work(
    handed: Handed, board: Board, seat: int, channel: Channel, level: str | None, form: str | None,
    *, has_child: bool,
) -> int:  # fmt: skip
    """The whole life of a worker, in the process that was forked for it; its exit code."""
    log = Log(sys.stderr.fileno(), level, form, time.time)

    async def life(loop: asyncio.AbstractEventLoop) -> int:
        ties = Ties(handed, board, seat, channel, loop, has_child=has_child)
        return await App(Text(handed.source, handed.data), loop, log, ties).serve()

    try:
        return live(log, life)
    except Exception as error:  # noqa: BLE001  # nobody above it has a log
        Bugs(log.tell, time.time, time.monotonic).caught(error, worker=seat)
        return FAILED


def _outcome(said: Mapping[str, Any]) -> Outcome:
    """From plain data, which has lists for tuples."""
    told: dict[str, Any] = {name: tuple(said[name]) for name in ("errors", "changes")}
    return Outcome(**{**said, **told})


def preload() -> None:
    """Import what every worker needs, once, before the first is forked."""
    import meshproxy.control.admin
    import meshproxy.control.probes
    import meshproxy.control.serving
    import meshproxy.leaving  # noqa: F401  # for its effect
