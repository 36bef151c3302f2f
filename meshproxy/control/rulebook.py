"""The config of several workers: read, judged and bound by the one who looks after them.

What `reload` is for a process with an event loop, this is for a supervisor without one. It holds
every listening socket of the config in force, so that workers come and go and no connection that
waits is lost. What it hands over has been validated and bound: nobody can refuse it for that.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from meshproxy.control.changes import changes
from meshproxy.control.reload import EACH, SOON, Outcome, Reason, Source, Standing, put_off
from meshproxy.settings.errors import ConfigError
from meshproxy.settings.validate import Settings, validate
from meshproxy.settings.views import dotted, listeners

Place = tuple[str, int]
Bind = Callable[[str, int], socket.socket]

MOST = 32
"""Workers, whatever the machine has; the file may ask for no more."""

MOST_ORDERS = 256
"""Of an operator, that are kept for workers that start later."""

PURGE = "cache/purge"

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True)
class Handed:
    """All that a worker needs to begin: the file's bytes, their number, and bound sockets.

    `outcome` is how the latest reload went, empty before the first; `orders` are those of an
    operator that still hold, in their order.
    """

    source: str
    data: bytes
    generation: int
    sockets: Mapping[Place, socket.socket]
    outcome: Mapping[str, Any]
    orders: Sequence[Mapping[str, Any]] = ()


class Rulebook:
    """What is in force, and how it is replaced."""

    def __init__(
        self, source: Source, bind: Bind, tell: Callable[..., None], wall: Callable[[], float],
        caught: Callable[[Exception], None],
    ) -> None:  # fmt: skip
        self._caught = caught
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
        self._outcome: dict[str, Any] = {}
        self._orders: dict[str, dict[str, Any]] = {}

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
        return counted(self.settings.file.workers)

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
        except Exception as error:  # noqa: BLE001  # even a bug here must not stop traffic
            self._caught(error)
            return None, self._refused(reason, [f"{self.name}: {type(error).__name__}: {error}"])
        told = changes(old.effective(), self.settings.effective()) if fresh is not None else ()
        outcome = Outcome(True, reason, self._generation, self.settings.digest, changes=told)
        self._tell(
            "config_reloaded", reason=reason, generation=self._generation, changes=list(told)
        )
        self._orders.clear()  # the file's word again
        return fresh, self._over(outcome)

    def put_off(self, reason: Reason, why: str) -> Outcome:
        """A reload that was asked for at the wrong time."""
        standing = Standing(self._generation, self.settings.digest)
        return put_off(self._tell, reason, why, standing)

    def _refused(self, reason: Reason, errors: list[str]) -> Outcome:
        digest = self.settings.digest
        self._tell(
            "config_rejected", level="error", reason=reason, generation=self._generation,
            detail="the config before it stays in force", errors=errors,
        )  # fmt: skip
        return self._over(Outcome(False, reason, self._generation, digest, tuple(errors)))

    def _over(self, outcome: Outcome) -> Outcome:
        self._outcome = {**asdict(outcome), "at": self._wall()}
        return outcome

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

    def handed(self) -> tuple[dict[str, Any], list[int]]:
        """The config in force as a message, and the descriptors of all its sockets beside it.

        Its bytes stand there one a character: they may be UTF-16, which JSON could not carry.

        All of them: who has a socket already closes the copy, and who has missed a config
        between needs more than the new ones.
        """
        places = list(self._sockets)
        message = {
            "data": self._data.decode("latin-1"), "generation": self._generation,
            "places": places, "outcome": self._outcome,
        }  # fmt: skip
        return message, [self._sockets[place].fileno() for place in places]

    @property
    def outcome(self) -> dict[str, Any]:
        """How the latest reload went and when, as plain data; empty before the first."""
        return self._outcome

    def ordered(self, order: str, words: Mapping[str, str]) -> None:
        """An operator has said so: a worker that starts before the next reload must know, too."""
        if order == PURGE:
            return  # it starts with nothing
        key = repr((order, sorted(words.items())))
        self._orders.pop(key, None)  # said again, it comes last again
        self._orders[key] = {"order": order, "words": dict(words)}
        while len(self._orders) > MOST_ORDERS:
            del self._orders[next(iter(self._orders))]

    def hand_over(self) -> Handed:
        """All that a worker needs to begin."""
        return Handed(
            self.name, self._data, self._generation, self._sockets, self._outcome,
            tuple(self._orders.values()),
        )  # fmt: skip

    def let_go(self) -> None:
        """All workers have adopted it: close what is named no more."""
        wanted = {(address.host, address.port) for _, address in listeners(self.settings.file)}
        for place in self._sockets.keys() - wanted:
            self._sockets.pop(place).close()

    def close_inbound(self) -> None:
        """No more callers; the app's own calls go on."""
        inbound = self.settings.file.inbound
        if inbound is not None:
            sock = self._sockets.pop((inbound.listen.host, inbound.listen.port), None)
            if sock is not None:
                sock.close()

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()


def counted(said: int | Literal["auto"]) -> int:
    """How many `workers` are: a number, or one for each processor."""
    return min(processors(), MOST) if said == "auto" else said


def processors(quota: Path = CPU_MAX) -> int:
    """How many processors this process may use at once: its affinity, and its cgroup's quota."""
    count = len(os.sched_getaffinity(0))
    try:
        most, period = quota.read_text().split()
        return max(1, min(count, -(-int(most) // int(period))))
    except (OSError, ValueError):
        return count  # no cgroup v2 here, or "max"
