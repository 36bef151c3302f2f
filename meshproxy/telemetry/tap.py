"""The tap: a line for each exchange that ends, to whoever listens at the moment.

Costs nothing while nobody listens, and with listeners never more than they asked for: the
filter is asked before anything is formatted, a line is formatted once for all, and what exceeds
a listener's rate or finds no room in its queue is left out, counted and told. Knows no socket:
a listener is woken, and takes what waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from math import nan
from typing import TYPE_CHECKING, Any

from meshproxy.core.selection import WORDS, Selection, SelectionError, read_selection
from meshproxy.telemetry.access_log import (
    METHOD_BYTES,
    AccessLog,
    endpoint_of,
    path_of,
    plain,
)
from meshproxy.telemetry.columns import HEAD, text_line
from meshproxy.telemetry.log import FIELD, json_line, short

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange

LISTENERS = 8
"""At a time."""
ROOM = 256 * 1024
"""Bytes that wait for one listener that does not read."""
PIECE = 64 * 1024
"""Bytes that are taken at once, unless one line is longer."""
TELL_EVERY = 1.0
"""Seconds between two words on what was left out."""

READERS: Mapping[str, Callable[[Exchange, float], Any]] = {
    "status": lambda exchange, _: exchange.status,
    "reason": lambda exchange, _: exchange.flags,
    "method": lambda exchange, _: plain(exchange.method[:METHOD_BYTES]),
    "path": lambda exchange, _: path_of(exchange),
    "route": lambda exchange, _: exchange.route.name,
    "upstream": lambda exchange, _: exchange.route.cluster.name if exchange.route.cluster else "",
    "endpoint": lambda exchange, _: endpoint_of(exchange),
    "direction": lambda exchange, _: exchange.route.direction,
    "duration": lambda exchange, now: now - exchange.began,
    "first_byte": lambda exchange, _: (
        exchange.first_byte - exchange.began if exchange.first_byte else nan
    ),
    "attempts": lambda exchange, _: exchange.attempts,
    "bytes_in": lambda exchange, _: exchange.bytes_in,
    "bytes_out": lambda exchange, _: exchange.bytes_out,
    "client": lambda exchange, _: exchange.peer.address,
    "request_id": lambda exchange, _: short(plain(exchange.request_id[: FIELD + 1])),
    "trace_id": lambda exchange, _: exchange.trace[0].decode() if exchange.trace else "",
}
"""The fields of a filter; texts as they stand in the line, so that what is seen can be asked."""

FORMS = ("json", "text")

Record = Callable[["Exchange", float], None]


class CrowdedError(Exception):
    """So many listen already that one more would be too much."""


class Listener:
    """One who listens: what was asked for, the lines that wait, and what was left out.

    `form` is one of FORMS; `ended` says why no line comes any more, "" as long as some may.
    """

    __slots__ = ("_lines", "_size", "_tell_at", "_told", "_wake", "ended", "form", "lost",
                 "selection", "sent")  # fmt: skip

    def __init__(self, selection: Selection, form: str, wake: Callable[[], None]) -> None:
        self.selection = selection
        self.form = form
        self._wake = wake
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._told = (0, 0)
        self._tell_at = 0.0
        self.sent = 0
        self.lost = 0
        self.ended = ""

    @property
    def left_out(self) -> tuple[int, int]:
        """How many were too many for the rate, and how many for the room."""
        return self.selection.left_out, self.lost

    def takes(self, exchange: Exchange, now: float) -> bool:
        """Whether this exchange is for this listener."""
        return not self.ended and self.selection.takes(exchange, now)

    def put(self, line: bytes) -> None:
        """A line for it, or one more that was left out."""
        if self._size + len(line) > ROOM:
            self.lost += 1
            return
        self._lines.append(line)
        self._size += len(line)
        self.sent += 1
        if self.sent == self.selection.limit:
            self.end("the limit was reached")
        elif len(self._lines) == 1:
            self._wake()

    def end(self, why: str) -> None:
        """No more lines; those that wait can still be taken."""
        self.ended = self.ended or why
        self._wake()

    def begin(self) -> bytes:
        """What the listener is told first, so that it knows it is heard."""
        return f"{HEAD}\n".encode() if self.form == "text" else b"\n"

    def take(self, now: float) -> bytes:
        """Whole lines that wait, about PIECE bytes; behind them what was left out, if new.

        Empty if nothing waits.
        """
        pieces: list[bytes] = []
        size = 0
        while self._lines and size < PIECE:
            pieces.append(self._lines.popleft())
            size += len(pieces[-1])
        self._size -= size
        left_out = self.left_out
        if left_out != self._told and now >= self._tell_at:
            self._told, self._tell_at = left_out, now + TELL_EVERY
            pieces.append(self._words_on(left_out))
        return b"".join(pieces)

    def last(self) -> bytes:
        """What it is told at the end: why, and what was left out in all."""
        over, lost = self.left_out
        if self.form == "json":
            return json_line({
                "event": "tap", "ended": self.ended, "told": self.sent,
                "left_out": {"over_rate": over, "too_slow": lost},
            })  # fmt: skip
        return f"# {self.ended}: {self.sent} told, {over + lost} left out\n".encode()

    def _words_on(self, left_out: tuple[int, int]) -> bytes:
        over, lost = left_out
        if self.form == "json":
            return json_line({"event": "tap", "left_out": {"over_rate": over, "too_slow": lost}})
        rate = f"{self.selection.rate:g}/s"
        words = [f"{over} were more than {rate}"] * bool(over)
        words += [f"{lost} came faster than they are read"] * bool(lost)
        return f"# left out so far: {', '.join(words)}\n".encode()


class Tap:
    """All who listen, and what is told of every exchange meanwhile.

    `record_by` sets who that is: the access log alone, or this, which passes it on to the log.
    """

    __slots__ = ("_access", "_listeners", "_now", "_random", "_record_by")

    def __init__(
        self,
        access: AccessLog,
        record_by: Callable[[Record], None],
        random: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._access = access
        self._record_by = record_by
        self._random = random
        self._now = now
        self._listeners: tuple[Listener, ...] = ()

    def __len__(self) -> int:
        return len(self._listeners)

    def join(self, words: Mapping[str, str], wake: Callable[[], None]) -> Listener:
        """Begin to listen as these words say. Raises SelectionError or CrowdedError.

        `wake` is called when there is something to take, and must not call back.
        """
        for word in words:
            if word not in (*WORDS, "format"):
                known = ", ".join((*WORDS, "format"))
                raise SelectionError(word, f"tap takes {known}, and not {word!r}")
        form = words.get("format", "json")
        if form not in FORMS:
            raise SelectionError("format", f"write {' or '.join(FORMS)}, not {form!r}")
        selection = read_selection(words, READERS, self._random, self._now())
        if len(self._listeners) >= LISTENERS:
            raise CrowdedError(f"{LISTENERS} listen already, which is all that there is room for")
        listener = Listener(selection, form, wake)
        self._keep((*self._listeners, listener))
        return listener

    def leave(self, listener: Listener) -> None:
        self._keep(tuple(one for one in self._listeners if one is not listener))

    def _keep(self, listeners: tuple[Listener, ...]) -> None:
        if bool(listeners) != bool(self._listeners):
            self._record_by(self._record if listeners else self._access.record)
        self._listeners = listeners

    def _record(self, exchange: Exchange, now: float) -> None:
        self._access.record(exchange, now)
        self._offer(exchange, now)

    def _offer(self, exchange: Exchange, now: float) -> None:
        fields: Mapping[str, Any] | None = None
        as_json = as_text = b""
        for listener in self._listeners:
            if not listener.takes(exchange, now):
                continue
            if fields is None:
                fields = self._access.fields(exchange, now)
            if listener.form == "json":
                as_json = as_json or json_line(fields)
                listener.put(as_json)
            else:
                as_text = as_text or text_line(fields)
                listener.put(as_text)
