"""The config of several workers: read, judged and bound by the one who looks after them.

What `reload` is for a process with an event loop, this is for a supervisor without one. It holds
every listening socket of the config in force, so that workers come and go and no connection that
waits is lost. What it hands over has been validated and bound: nobody can refuse it for that.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshproxy.control.changes import changes
from meshproxy.control.reload import EACH, SOON, Outcome, Reason, Source
from meshproxy.settings.errors import ConfigError
from meshproxy.settings.validate import Settings, validate
from meshproxy.settings.views import dotted, listeners

Place = tuple[str, int]
Bind = Callable[[str, int], socket.socket]

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True)
class Handed:
    """All that a worker needs to begin: the file's bytes, their number, and bound sockets."""

    source: str
    data: bytes
    generation: int
    sockets: Mapping[Place, socket.socket]


class Rulebook:
    """What is in force, and how it is replaced."""

    def __init__(
        self, source: Source, bind: Bind, tell: Callable[..., None], wall: Callable[[], float]
    ) -> None:
        self._source = source
        self._bind = bind
        self._tell = tell
        self._wall = wall
        self._data = b""
        self._content = b""
        self._generation = 0
        self._settings: Settings | None = None
        self._sockets: dict[Place, socket.socket] = {}
        self._looked = 0.0
        self._trouble: str | None = None

    @property
    def name(self) -> str:
        """Of the file, for people."""
        return self._source.name

    @property
    def settings(self) -> Settings:
        """Those in force; there once it has begun."""
        assert self._settings is not None  # noqa: S101  # begin comes first
        return self._settings

    @property
    def workers(self) -> int:
        """How many the file asks for."""
        said = self.settings.file.workers
        return processors() if said == "auto" else said

    def begin(self) -> None:
        """The first load. Raises what went wrong: ConfigError, OSError."""
        self._renew()

    def changed(self, now: float) -> bool:
        """Whether the file has new content; looks as often as is worth it."""
        if now < self._looked + (SOON if self._source.settling else EACH):
            return False
        self._looked = now
        if self._source.poll():
            self._trouble = None
            return True
        known, self._trouble = self._trouble, self._source.trouble
        if self._trouble is not None and self._trouble != known:
            self._refused("file", [f"{self.name}: {self._trouble}"])
        return False

    def renew(self, reason: Reason) -> tuple[dict[Place, socket.socket] | None, Outcome]:
        """Take what the source holds now; the sockets that are new, None if nothing changed."""
        old = self.settings
        try:
            fresh = self._renew()
        except ConfigError as error:
            return None, self._refused(reason, error.lines())
        except OSError as error:
            return None, self._refused(reason, [f"{self.name}: {error.strerror or error}"])
        told = changes(old.effective(), self.settings.effective()) if fresh is not None else ()
        outcome = Outcome(True, reason, self._generation, self.settings.digest, changes=told)
        self._tell(
            "config_reloaded", reason=reason, generation=self._generation, changes=list(told)
        )
        return fresh, outcome

    def _refused(self, reason: Reason, errors: list[str]) -> Outcome:
        digest = self.settings.digest
        self._tell(
            "config_rejected", level="error", reason=reason, generation=self._generation,
            detail="the config before it stays in force", errors=errors,
        )  # fmt: skip
        return Outcome(False, reason, self._generation, digest, tuple(errors))

    def _renew(self) -> dict[Place, socket.socket] | None:
        data = self._source.read()
        content = hashlib.sha256(data).digest()
        settings = validate(data, self.name, os.environ)
        old = self._settings
        if old is not None and (content, settings.digest) == (self._content, old.digest):
            return None
        fresh = self._bind_all(settings)
        self._sockets |= fresh
        self._data, self._content, self._settings = data, content, settings
        self._generation += 1
        return fresh

    def _bind_all(self, settings: Settings) -> dict[Place, socket.socket]:
        fresh: dict[Place, socket.socket] = {}
        for path, address in listeners(settings.file):
            place = (address.host, address.port)
            if place in self._sockets or place in fresh:
                continue
            try:
                fresh[place] = self._bind(*place)
            except OSError as error:
                for sock in fresh.values():
                    sock.close()
                why = f"{dotted(path)}: cannot listen on {address}: {error.strerror or error}"
                raise OSError(why) from error
        return fresh

    # To the workers

    def handed(self) -> dict[str, Any]:
        """The config in force as a message; its sockets go beside it."""
        return {"data": self._data.decode(), "generation": self._generation}

    def hand_over(self) -> Handed:
        """All that a worker needs to begin."""
        return Handed(self.name, self._data, self._generation, self._sockets)

    def let_go(self) -> None:
        """All workers have adopted it: close what is named no more."""
        wanted = {(address.host, address.port) for _, address in listeners(self.settings.file)}
        for place in self._sockets.keys() - wanted:
            self._sockets.pop(place).close()

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()


def processors(quota: Path = CPU_MAX) -> int:
    """How many processors this process may use at once: its affinity, and its cgroup's quota."""
    count = len(os.sched_getaffinity(0))
    try:
        most, period = quota.read_text().split()
        return max(1, min(count, -(-int(most) // int(period))))
    except (OSError, ValueError):
        return count  # no cgroup v2 here, or "max"
