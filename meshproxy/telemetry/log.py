"""The proxy's own log lines: what happened to it, for people and for machines.

One line per event, JSON or text, by level, in printable ASCII whatever it holds. Never called
per request: the access log writes its lines through the same door. What a line says is for its
callers to decide; what they repeat too often is counted instead of written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from meshproxy.core.report import Sample
from meshproxy.telemetry.lines import Lines

LEVELS = ("debug", "info", "warning", "error")

FIELD = 2048
"""Most characters of a text in a line; what is longer is cut."""
ITEMS = 100
"""Most items of a list in a line."""
KINDS = 64
"""Most kinds of repeated events told apart."""

_DEL = b"\x7f"


class LogSettings(Protocol):
    """What the file says under `logs`."""

    @property
    def level(self) -> str: ...
    @property
    def format(self) -> str: ...


class Clock:
    """Wall time in the spelling of RFC 3339, to the millisecond, in UTC."""

    __slots__ = ("_second", "_text", "wall")

    def __init__(self, wall: Callable[[], float]) -> None:
        self.wall = wall
        self._second = -1
        self._text = ""

    def text(self, ago: float = 0.0) -> str:
        """Now, or so many seconds ago. Each second is spelled once: 0.9 us a call, not 2.5."""
        now = self.wall() - ago
        second = int(now)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._text}.{int((now - second) * 1000):03d}Z"


def short(text: str) -> str:
    """At most FIELD characters of a text."""
    return text if len(text) <= FIELD else f"{text[: FIELD - 3]}..."


def json_line(fields: Mapping[str, Any]) -> bytes:
    """Plain data as one line of JSON, in printable ASCII and bounded."""
    try:
        line = orjson.dumps(fields, default=str, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        line = b""  # text that UTF-8 cannot say, such as an undecodable file name
    # Most lines are plain as they come; looking takes 0.1 us, taming 5.
    if 0 < len(line) <= FIELD and line.isascii() and _DEL not in line:
        return line
    return orjson.dumps(_tame(fields), option=orjson.OPT_APPEND_NEWLINE)


def _tame(value: Any) -> Any:
    """Plain data whose texts are short and ASCII, whatever comes; JSON itself escapes the rest."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)
    if isinstance(value, Mapping):
        return {_ascii(str(key)): _tame(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        more = [f"and {len(value) - ITEMS} more"] if len(value) > ITEMS else []
        return [*(_tame(one) for one in value[:ITEMS]), *more]
    return _ascii(str(value))


def _ascii(text: str) -> str:
    text = text.replace("\x7f", "\\x7f")
    return short(text.encode("ascii", "backslashreplace").decode())


def _text(fields: Mapping[str, Any]) -> bytes:
    """`time LEVEL event key=value ...`; a value with blanks or quotes in JSON's quotes."""
    rest = _tame(fields)
    start = f"{rest.pop('time')} {rest.pop('level').upper():7} {rest.pop('event')}"
    pairs = [f"{key}={_word(value)}" for key, value in rest.items()]
    return " ".join([start, *pairs]).encode() + b"\n"


def _word(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    if text and text.isprintable() and not any(mark in text for mark in ' "=\\'):
        return text
    return orjson.dumps(value).decode()


@dataclass(slots=True)
class _Repeated:
    """An event that is written at most once in a while, and what was left out since."""

    fields: Mapping[str, Any]
    until: float
    every: float
    left_out: int = 0


class Log:
    """Where all lines go, and which of the proxy's own are written.

    `level` and `form` (`json` or `text`) given here win over the file for good. A level set
    later by `set_level` holds until the file says another one than it did. `wall` dates the
    lines, `now` is the monotonic clock by which repeated ones are held back.
    """

    __slots__ = ("_clock", "_fixed_level", "_least", "_lines", "_now", "_repeated", "_said",
                 "fixed_form", "line")  # fmt: skip

    def __init__(
        self,
        fd: int,
        level: str | None,
        form: str | None,
        wall: Callable[[], float],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lines = Lines(fd)
        self._clock = Clock(wall)
        self._now = now
        self._repeated: dict[str, _Repeated] = {}
        self._fixed_level = level
        self.fixed_form = form
        self._said = ""
        self.line: Callable[[Mapping[str, Any]], bytes] = _text if form == "text" else json_line
        self._least = LEVELS.index(level or "info")

    def configure(self, settings: LogSettings) -> None:
        """Take over what the file says now."""
        if settings.level != self._said:
            self._said = settings.level
            self.set_level(self._fixed_level or settings.level)
        self.line = _text if (self.fixed_form or settings.format) == "text" else json_line

    def set_level(self, level: str) -> None:
        """Write lines of `level` (one of LEVELS) and above from now on."""
        self._least = LEVELS.index(level)

    def tell(
        self, event: str, /, *, level: str = "info", once_per: float = 0.0, **fields: Any
    ) -> None:
        """Write one line at once; `event` is a word, `fields` are what happened.

        With `once_per` seconds, the same event with the same fields is written no more often;
        the next line of it says how many were `left_out`, if need be when nothing happens.
        """
        if LEVELS.index(level) < self._least:
            return
        said = {"level": level, "event": event, **fields}
        if once_per and self._holds_back(said, once_per):
            return
        self._say(said)
        self._lines.flush()

    def tell_now(self, event: str, /, *, level: str = "info", **fields: Any) -> None:
        """Write one line from another thread, before those that wait: it must be a short one."""
        if LEVELS.index(level) >= self._least:
            clock = Clock(self._clock.wall)
            said = {"time": clock.text(), "level": level, "event": event, **fields}
            self._lines.write_now(self.line(said))

    def _holds_back(self, said: Mapping[str, Any], every: float) -> bool:
        key = repr(sorted(said.items()))
        if key not in self._repeated and len(self._repeated) >= KINDS:
            key = f"{said['event']}"  # fields that never repeat must not make a flood
        held = self._repeated.get(key)
        if held is None:
            self._repeated[key] = _Repeated(said, self._now() + every, every)
            return False
        held.left_out += 1
        return True

    def _say(self, said: Mapping[str, Any]) -> None:
        self._lines.write(self.line({"time": self._clock.text(), **said}))

    def _say_what_was_left_out(self) -> None:
        now = self._now()
        for key, held in tuple(self._repeated.items()):
            if now < held.until:
                continue
            if held.left_out:
                self._say({**held.fields, "left_out": held.left_out})
                held.until, held.left_out = now + held.every, 0
            else:
                del self._repeated[key]

    def write(self, line: Mapping[str, Any] | bytes) -> None:
        """Write a line with the next batch: the fields of one as JSON, or one as it is.

        Whoever has lines for a text spells them; fields have their `time`, `level` and `event`.
        """
        self._lines.write(line if isinstance(line, bytes) else json_line(line))

    def flush(self) -> None:
        """Write what was gathered, as far as its reader takes it; called now and then."""
        if self._repeated:
            self._say_what_was_left_out()
        self._lines.flush()

    def close(self) -> None:
        """The last flush; the descriptor stays open, as it is not ours."""
        for held in self._repeated.values():
            held.until = 0.0
        self.flush()

    def samples(self) -> Iterator[Sample]:
        """Lines that were lost."""
        yield Sample("meshproxy_log_lines_dropped_total", (), self._lines.dropped)
