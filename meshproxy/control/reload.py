"""From new bytes to a new config in force, or the old one and the reason why.

Reloads come one after the other, whoever asks. What loading and adopting mean is the app's;
this knows only that both may fail, and that a failure must change nothing but the record of it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from meshproxy.control.changes import changes
from meshproxy.core.route import Snapshot
from meshproxy.settings.errors import ConfigError

EACH = 0.25
"""Seconds between two looks at a file that rests."""
SOON = 0.1
"""Seconds between two looks at one that is changing: with EACH well within a second."""

Reason = Literal["start", "file", "signal", "admin"]


class Prepared(Protocol):
    """What loading made: everything that adopting needs, a snapshot among it."""

    @property
    def snapshot(self) -> Snapshot: ...


class Source(Protocol):
    """Where the config comes from; `control.watch` has those there are."""

    name: str
    trouble: str | None

    @property
    def settling(self) -> bool: ...

    def read(self) -> bytes: ...
    def poll(self) -> bool: ...


P = TypeVar("P", bound=Prepared)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one reload went. `generation` and `digest` are of the config in force after it."""

    ok: bool
    reason: Reason
    generation: int
    digest: str
    errors: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


@dataclass(slots=True)
class Standing:
    """What the probes, /config and the metrics tell of reloads. Times are of the wall clock.

    `errors` are those of the latest reload, empty if it went well; 0.0 is never.
    """

    generation: int = 0
    digest: str = ""
    ok: bool = False
    reason: Reason = "start"
    at: float = 0.0
    succeeded_at: float = 0.0
    errors: tuple[str, ...] = ()


def put_off(tell: Callable[..., None], reason: Reason, why: str, standing: Standing) -> Outcome:
    """A reload that was asked for at the wrong time; it says nothing of the file."""
    tell("reload_put_off", level="warning", reason=reason, why=why)
    return Outcome(False, reason, standing.generation, standing.digest, (f"not now: {why}",))


class Reloader(Generic[P]):
    """Loads what the source holds and has it adopted.

    `load(data, generation)` builds without side effects; ConfigError tells the user's
    mistakes. `adopt` puts it in force and must be all or nothing: raising ConfigError or
    OSError (a port that is taken) leaves the old one as it was. `tell` writes a log line,
    `caught` hears of bugs in all of this, and `over` how each reload went, when everything
    else knows. `held` says why there are to be none now: whoever leaves, or is just being
    followed by another process, must not take that one's addresses.
    """

    __slots__ = ("_adopt", "_caught", "_content", "_load", "_lock", "_over", "_source", "_tell",
                 "_trouble", "_wall", "held", "snapshot", "standing")  # fmt: skip

    def __init__(
        self,
        source: Source,
        load: Callable[[bytes, int], P],
        adopt: Callable[[P], Awaitable[None]],
        tell: Callable[..., None],
        wall: Callable[[], float],
        caught: Callable[[Exception], None],
        over: Callable[[Outcome], None] = lambda _: None,
    ) -> None:
        self._caught = caught
        self._source = source
        self._load = load
        self._adopt = adopt
        self._tell = tell
        self._wall = wall
        self._over = over
        self._lock = asyncio.Lock()
        self._content = b""
        self._trouble: str | None = None
        self.held: Callable[[], str] = str
        self.snapshot: Snapshot | None = None
        self.standing = Standing()

    @property
    def source(self) -> str:
        """The name of the file, for people."""
        return self._source.name

    async def begin(self) -> None:
        """The first load. Raises what went wrong: ConfigError, OSError."""
        async with self._lock:
            await self._renew("start")

    async def reload(self, reason: Reason) -> Outcome:
        """Take what the source holds now; never raises for what is wrong with it."""
        async with self._lock:
            why = self.held()
            if why:
                return put_off(self._tell, reason, why, self.standing)
            try:
                return await self._renew(reason)
            except ConfigError as error:
                errors = error.lines()
            except OSError as error:
                errors = [f"{self.source}: {error.strerror or error}"]
            except Exception as error:  # noqa: BLE001  # even a bug here must not stop traffic
                self._caught(error)
                errors = [f"{self.source}: {type(error).__name__}: {error}"]
            return self._refused(reason, errors)

    async def watch(self) -> None:
        """Look at the source for ever; cancel it to stop."""
        while True:
            await asyncio.sleep(SOON if self._source.settling else EACH)
            if not self.held():
                await self.look()

    async def look(self) -> Outcome | None:
        """One look: reload if the file has new content, and say once if it cannot be read."""
        if self._source.poll():
            self._trouble = None
            return await self.reload("file")
        known, self._trouble = self._trouble, self._source.trouble
        if self._trouble is None or self._trouble == known:
            return None
        return self._refused("file", [f"{self.source}: {self._trouble}"])

    async def _renew(self, reason: Reason) -> Outcome:
        data = self._source.read()
        content = hashlib.sha256(data).digest()
        standing = self.standing
        prepared = self._load(data, standing.generation + 1)
        made, old = prepared.snapshot, self.snapshot
        # Variables and secret files count too, so the same bytes may still say something new.
        if old is not None and (content, made.digest) == (self._content, old.digest):
            return self._agreed(reason, ())
        await self._adopt(prepared)
        self.snapshot, self._content = made, content
        standing.generation, standing.digest = made.generation, made.digest
        return self._agreed(reason, changes(old.source, made.source) if old else ())

    def _agreed(self, reason: Reason, told: tuple[str, ...]) -> Outcome:
        standing = self.standing
        standing.ok, standing.reason, standing.errors = True, reason, ()
        standing.at = standing.succeeded_at = self._wall()
        outcome = Outcome(True, reason, standing.generation, standing.digest, changes=told)
        if reason != "start":
            self._tell(
                "config_reloaded", reason=reason, generation=outcome.generation, changes=list(told)
            )
        self._over(outcome)
        return outcome

    def _refused(self, reason: Reason, errors: list[str]) -> Outcome:
        standing = self.standing
        standing.ok, standing.reason, standing.errors = False, reason, tuple(errors)
        standing.at = self._wall()
        outcome = Outcome(False, reason, standing.generation, standing.digest, tuple(errors))
        self._tell(
            "config_rejected", level="error", reason=reason, generation=outcome.generation,
            detail="the config before it stays in force", errors=errors,
        )  # fmt: skip
        self._over(outcome)
        return outcome
