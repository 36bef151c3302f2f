"""The config of one worker of several: it follows what the supervisor has judged.

Has the face of `reload.Reloader`, so that the app need not know which of the two it has. A
worker never reads the file: it adopts what it is handed, and whoever asks it to reload is
answered by the supervisor.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

from meshproxy.control.reload import Outcome, Prepared, Reason, Standing
from meshproxy.core.route import Snapshot
from meshproxy.settings.errors import ConfigError

P = TypeVar("P", bound=Prepared)

Ask = Callable[[Reason], Awaitable[Outcome]]


class Followed(Generic[P]):
    """`first` is what the supervisor handed over when it started this worker."""

    def __init__(
        self, name: str, first: tuple[bytes, int], load: Callable[[bytes, int], P],
        adopt: Callable[[P], Awaitable[None]], ask: Ask, wall: Callable[[], float],
    ) -> None:  # fmt: skip
        self.source = name
        self._first = first
        self._load = load
        self._adopt = adopt
        self._ask = ask
        self._wall = wall
        self.snapshot: Snapshot | None = None
        self.standing = Standing()

    async def begin(self) -> None:
        """Adopt what was handed over. Raises what went wrong, which is a bug by now."""
        await self._take(*self._first)
        self.standing.ok = True
        self.standing.at = self.standing.succeeded_at = self._wall()

    async def reload(self, reason: Reason) -> Outcome:
        """Have the supervisor reload; all workers have adopted it when this returns."""
        return await self._ask(reason)

    async def follow(self, data: bytes, generation: int) -> str:
        """Adopt a new config; what went wrong, empty if nothing did."""
        try:
            await self._take(data, generation)
        except (ConfigError, OSError) as error:
            return str(error)
        return ""

    def heard(self, outcome: Mapping[str, Any]) -> None:
        """How the latest reload of the supervisor went, and `at` what time of the wall clock.

        This worker's part in it is done, or was not needed.
        """
        standing = self.standing
        standing.ok, standing.reason = outcome["ok"], outcome["reason"]
        standing.errors = tuple(outcome["errors"])
        standing.at = outcome["at"]
        if standing.ok:
            standing.succeeded_at = standing.at

    async def _take(self, data: bytes, generation: int) -> None:
        prepared = self._load(data, generation)
        await self._adopt(prepared)
        self.snapshot = prepared.snapshot
        self.standing.generation = generation
        self.standing.digest = prepared.snapshot.digest
